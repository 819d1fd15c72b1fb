# Base64 of gRPC's -bin metadata (RFC 4648 4). Needs base.pxi.
#
# Strict: the standard alphabet only, no white space, padding all or none, unused bits zero. So one value has at most
# two spellings, with padding and without.

cdef extern from *:
    """
    /* One table for each place in a group of four: its share of the three bytes, first lowest; bit 31 = foreign. */
    #define GB_B64_EACH(X) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(62) X(N) X(N) X(N) X(63) \\
        X(52) X(53) X(54) X(55) X(56) X(57) X(58) X(59) X(60) X(61) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) \\
        X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(26) X(27) X(28) X(29) X(30) X(31) X(32) X(33) X(34) X(35) X(36) X(37) X(38) X(39) X(40) \\
        X(41) X(42) X(43) X(44) X(45) X(46) X(47) X(48) X(49) X(50) X(51) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) \\
        X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N) X(N)
    #define N 255u
    #define GB_B64_0(v) v == N ? 1u << 31 : (v + 0u) << 2,
    #define GB_B64_1(v) v == N ? 1u << 31 : (v + 0u) >> 4 | (v & 15u) << 12,
    #define GB_B64_2(v) v == N ? 1u << 31 : (v + 0u) >> 2 << 8 | (v & 3u) << 22,
    #define GB_B64_3(v) v == N ? 1u << 31 : (v + 0u) << 16,
    static const unsigned int gb_b64_0[256] = {GB_B64_EACH(GB_B64_0)};
    static const unsigned int gb_b64_1[256] = {GB_B64_EACH(GB_B64_1)};
    static const unsigned int gb_b64_2[256] = {GB_B64_EACH(GB_B64_2)};
    static const unsigned int gb_b64_3[256] = {GB_B64_EACH(GB_B64_3)};
    #undef N
    static const char gb_b64_digit[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    """
    const unsigned int gb_b64_0[256]
    const unsigned int gb_b64_1[256]
    const unsigned int gb_b64_2[256]
    const unsigned int gb_b64_3[256]
    const char gb_b64_digit[65]


cdef inline size_t gb_b64_decoded_max(size_t n) noexcept nogil:
    return (n >> 2) * 3 + 3


cdef inline ssize_t gb_b64_decode(const u8* p, size_t n, u8* out, size_t cap) noexcept nogil:
    """Decodes n bytes at p into out; returns the length, or -1 when it is not base64 or does not fit."""
    cdef size_t size, i, groups
    cdef u32 word, seen = 0
    if n and (n & 3) == 0 and p[n - 1] == 61:
        n -= 2 if p[n - 2] == 61 else 1
    groups = n >> 2
    size = groups * 3 + ((n & 3) - 1 if n & 3 else 0)
    if (n & 3) == 1 or size > cap:
        return -1
    for i in range(groups):
        word = gb_b64_0[p[0]] | gb_b64_1[p[1]] | gb_b64_2[p[2]] | gb_b64_3[p[3]]
        seen |= word
        out[0] = <u8>word
        out[1] = <u8>(word >> 8)
        out[2] = <u8>(word >> 16)
        p += 4
        out += 3
    if n & 3:
        word = gb_b64_0[p[0]] | gb_b64_1[p[1]]
        out[0] = <u8>word
        if (n & 3) == 3:
            word |= gb_b64_2[p[2]]
            out[1] = <u8>(word >> 8)
        # What would spill into the next byte is an unused bit that is set.
        seen |= word | (<u32>1 << 31 if word >> (16 if (n & 3) == 3 else 8) else 0)
    return -1 if seen >> 31 else <ssize_t>size


cdef inline size_t gb_b64_encoded(size_t n) noexcept nogil:
    """Length of n bytes in base64 without padding."""
    cdef size_t whole = n / <size_t>3
    cdef size_t rest = n - whole * 3
    return whole * 4 + (rest + 1 if rest else 0)


cdef inline size_t gb_b64_encode(const u8* p, size_t n, u8* out) noexcept nogil:
    """Encodes without padding, as gRPC recommends; out holds gb_b64_encoded(n) bytes. Returns that."""
    cdef size_t length = gb_b64_encoded(n)
    cdef u32 word
    while n >= 3:
        word = (<u32>p[0] << 16) | (<u32>p[1] << 8) | p[2]
        out[0] = <u8>gb_b64_digit[word >> 18]
        out[1] = <u8>gb_b64_digit[(word >> 12) & 63]
        out[2] = <u8>gb_b64_digit[(word >> 6) & 63]
        out[3] = <u8>gb_b64_digit[word & 63]
        p += 3
        out += 4
        n -= 3
    if n:
        word = (<u32>p[0] << 16) | ((<u32>p[1] << 8) if n == 2 else 0)
        out[0] = <u8>gb_b64_digit[word >> 18]
        out[1] = <u8>gb_b64_digit[(word >> 12) & 63]
        if n == 2:
            out[2] = <u8>gb_b64_digit[(word >> 6) & 63]
    return length
