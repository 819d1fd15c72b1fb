# Reading an input, and ending the process when a promise is broken. Needs base.pxi.

cdef extern from *:
    """
    #include <stdio.h>

    static void expect(int kept, const char *promise) {
        if (__builtin_expect(!kept, 0)) {
            fprintf(stderr, "fuzz: broken promise: %s\\n", promise);
            abort();
        }
    }

    static const char fuzz_hex[17] = "0123456789abcdef";
    """
    const char fuzz_hex[17]
    void expect(bint kept, const char* promise) nogil

# What is left of an input. Taking more than is there gives zeros.
ctypedef struct source:
    const u8* p
    size_t n


cdef inline source source_of(const u8* p, size_t n) noexcept nogil:
    cdef source s
    s.p = p
    s.n = n
    return s


cdef inline gb_span take(source* s, size_t n) noexcept nogil:
    """The next n bytes, or as many as there are."""
    cdef gb_span out
    if n > s.n:
        n = s.n
    out = gb_make_span(s.p, n)
    if n:
        s.p += n
        s.n -= n
    return out


cdef inline u64 take_number(source* s, size_t bytes_) noexcept nogil:
    """A little-endian number of at most eight bytes."""
    cdef gb_span raw = take(s, bytes_)
    cdef u64 value = 0
    cdef size_t i
    for i in range(raw.n):
        value |= <u64>raw.p[i] << (8 * i)
    return value


cdef inline void take_digest(source* s, u8* out32) noexcept nogil:
    cdef gb_span raw = take(s, 32)
    memset(out32, 0, 32)
    if raw.n:
        memcpy(out32, raw.p, raw.n)


cdef u8* block(size_t n) noexcept nogil:
    """Memory of exactly n bytes, so that the sanitizer sees the first one beyond."""
    cdef u8* p = <u8*>malloc(n)
    expect(p != NULL or n == 0, b"the fuzzer itself has memory")
    return p


cdef u8* block_of(gb_span s) noexcept nogil:
    """A copy in a block of exactly its size."""
    cdef u8* p = block(s.n)
    if s.n:
        memcpy(p, s.p, s.n)
    return p


cdef inline bint inside(gb_span part, const u8* p, size_t n) noexcept nogil:
    """Whether a span lies in the n bytes at p; an empty one lies anywhere."""
    return part.n == 0 or (part.p >= p and part.n <= n and <size_t>(part.p - p) <= n - part.n)
