# Base64 of gRPC's -bin metadata (RFC 4648 4). Needs base.pxi.
#
# Strict: the standard alphabet only, no white space, padding all or none, unused bits zero. So one value has at most two
# spellings, with padding and without.

cdef extern from *:
    """
    static const unsigned char gb_b64_value[256] = {
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,  62, 255, 255, 255,  63,
         52,  53,  54,  55,  56,  57,  58,  59,  60,  61, 255, 255, 255, 255, 255, 255,
        255,   0,   1,   2,   3,   4,   5,   6,   7,   8,   9,  10,  11,  12,  13,  14,
         15,  16,  17,  18,  19,  20,  21,  22,  23,  24,  25, 255, 255, 255, 255, 255,
        255,  26,  27,  28,  29,  30,  31,  32,  33,  34,  35,  36,  37,  38,  39,  40,
         41,  42,  43,  44,  45,  46,  47,  48,  49,  50,  51, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
        255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    };
    static const char gb_b64_digit[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    """
    const unsigned char gb_b64_value[256]
    const char gb_b64_digit[65]


cdef inline size_t gb_b64_decoded_max(size_t n) noexcept nogil:
    return (n >> 2) * 3 + 3


cdef inline ssize_t gb_b64_decode(const u8* p, size_t n, u8* out, size_t cap) noexcept nogil:
    """Decodes n bytes at p into out; returns the length, or -1 when it is not base64 or does not fit."""
    cdef size_t size, i, groups
    cdef u32 a, b, c, d, bad = 0, word
    if n and (n & 3) == 0 and p[n - 1] == 61:
        n -= 2 if p[n - 2] == 61 else 1
    groups = n >> 2
    size = groups * 3 + ((n & 3) - 1 if n & 3 else 0)
    if (n & 3) == 1 or size > cap:
        return -1
    for i in range(groups):
        a = gb_b64_value[p[0]]
        b = gb_b64_value[p[1]]
        c = gb_b64_value[p[2]]
        d = gb_b64_value[p[3]]
        bad |= a | b | c | d
        word = (a << 18) | (b << 12) | (c << 6) | d
        out[0] = <u8>(word >> 16)
        out[1] = <u8>(word >> 8)
        out[2] = <u8>word
        p += 4
        out += 3
    if n & 3:
        a = gb_b64_value[p[0]]
        b = gb_b64_value[p[1]]
        bad |= a | b
        out[0] = <u8>((a << 2) | (b >> 4))
        if (n & 3) == 2:
            bad |= (b & 15) << 6
        else:
            c = gb_b64_value[p[2]]
            bad |= c | (c & 3) << 6
            out[1] = <u8>((b << 4) | (c >> 2))
    # Every value is below 64: a foreign character (255) or a set unused bit leaves a bit above.
    return -1 if bad >= 64 else <ssize_t>size


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
