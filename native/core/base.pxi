# The ground of native/core: types, libc, the two clocks. Needs nothing before it.
#
# Rules of this folder. Every function is `noexcept nogil`, touches no Python object and is named gb_. A pointer never
# travels without its length (gb_span, or a stated fixed size). Tables are static C constants: module-level initial
# values of Cython would run in Python only, never in Envoy. Division is unsigned and by constants; nothing is kept by
# thread. The including file sets `cdivision=True, boundscheck=False, wraparound=False`.

cdef extern from *:
    """
    #ifndef OPENSSL_SUPPRESS_DEPRECATED
    #define OPENSSL_SUPPRESS_DEPRECATED
    #endif
    #include <stddef.h>
    #include <stdint.h>
    #include <stdlib.h>
    #include <string.h>
    #include <time.h>
    #include <sys/types.h>

    typedef struct { const unsigned char *p; size_t n; } gb_span;
    """
    ctypedef struct gb_span:
        const unsigned char* p
        size_t n

ctypedef unsigned char u8
ctypedef unsigned short u16
ctypedef unsigned int u32
ctypedef unsigned long long u64
ctypedef long long i64

cdef extern from "<string.h>" nogil:
    void* memcpy(void* to, const void* source, size_t n)
    void* memmove(void* to, const void* source, size_t n)
    void* memset(void* to, int value, size_t n)
    int memcmp(const void* a, const void* b, size_t n)
    void* memchr(const void* a, int value, size_t n)
    size_t strlen(const char* s)

cdef extern from "<stdlib.h>" nogil:
    void* malloc(size_t n)
    void* calloc(size_t count, size_t n)
    void* realloc(void* p, size_t n)
    void free(void* p)

cdef extern from "<sys/mman.h>" nogil:
    void* gb_mmap "mmap"(void* where, size_t n, int protection, int flags, int fd, long at)
    int gb_munmap "munmap"(void* p, size_t n)
    enum:
        GB_PROT_RW "(PROT_READ | PROT_WRITE)"
        GB_MAP_ANONYMOUS "(MAP_PRIVATE | MAP_ANONYMOUS)"

cdef extern from "<sys/types.h>" nogil:
    ctypedef Py_ssize_t ssize_t

cdef extern from "<time.h>" nogil:
    ctypedef long gb_time_t "time_t"
    ctypedef int gb_clockid_t "clockid_t"
    cdef struct gb_timespec "timespec":
        gb_time_t tv_sec
        long tv_nsec
    int gb_clock_gettime "clock_gettime"(gb_clockid_t clock, gb_timespec* out)
    enum:
        GB_CLOCK_REALTIME "CLOCK_REALTIME"
        GB_CLOCK_MONOTONIC "CLOCK_MONOTONIC"

cdef enum:
    GB_HASH = 32
    GB_POINT = 65
    GB_SIGNATURE_VALUE = 64
    GB_MAX_BATCH = 1024


cdef inline gb_span gb_make_span(const u8* p, size_t n) noexcept nogil:
    cdef gb_span s
    s.p = p
    s.n = n
    return s


cdef inline gb_span gb_literal(const char* text) noexcept nogil:
    """A span over a zero-terminated constant of ours; never over input."""
    return gb_make_span(<const u8*>text, strlen(text))


cdef inline bint gb_eq(gb_span a, gb_span b) noexcept nogil:
    return a.n == b.n and (a.n == 0 or memcmp(a.p, b.p, a.n) == 0)


cdef inline bint gb_eq32(const u8* a, const u8* b) noexcept nogil:
    return memcmp(a, b, 32) == 0


cdef inline bint gb_starts(gb_span a, gb_span prefix) noexcept nogil:
    return a.n >= prefix.n and memcmp(a.p, prefix.p, prefix.n) == 0


cdef inline i64 gb_clock_ms(gb_clockid_t clock) noexcept nogil:
    cdef gb_timespec t
    if gb_clock_gettime(clock, &t) != 0:
        return 0
    # Nanoseconds to milliseconds without dividing a signed number: 0 <= tv_nsec < 10^9.
    return <i64>t.tv_sec * 1000 + <i64>((<u64>t.tv_nsec) / <u64>1000000)


cdef inline i64 gb_now_ms() noexcept nogil:
    """Wall clock, milliseconds since the epoch; for the gate and the journal only, never inside a check."""
    return gb_clock_ms(GB_CLOCK_REALTIME)


cdef inline i64 gb_mono_ms() noexcept nogil:
    return gb_clock_ms(GB_CLOCK_MONOTONIC)


cdef inline u8* gb_pages_new(size_t n) noexcept nogil:
    """n zero bytes that cost memory only where they are written, and none once they are freed; NULL without any.

    For large tables: Envoy's allocator writes the zeros of calloc, and keeps what is freed."""
    cdef void* p = gb_mmap(NULL, n, GB_PROT_RW, GB_MAP_ANONYMOUS, -1, 0)
    return NULL if <size_t>p == ~<size_t>0 else <u8*>p


cdef inline void gb_pages_free(void* p, size_t n) noexcept nogil:
    if p != NULL:
        gb_munmap(p, n)
