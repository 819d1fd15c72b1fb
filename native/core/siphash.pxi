# SipHash-2-4 (Aumasson, Bernstein 2012), 64 bits. Needs base.pxi.
#
# Keyed with random bytes, it places names that a stranger chose (grant ids, request ids) into tables: without the key
# nobody can pick names that collide. It is no commitment to anything. Also the little-endian loads and stores that every
# file format of ours uses; byte by byte, so no alignment and no byte order of the machine is assumed.

cdef inline u32 gb_ld16(const u8* p) noexcept nogil:
    return <u32>p[0] | (<u32>p[1] << 8)


cdef inline u32 gb_ld32(const u8* p) noexcept nogil:
    return <u32>p[0] | (<u32>p[1] << 8) | (<u32>p[2] << 16) | (<u32>p[3] << 24)


cdef inline u64 gb_ld64(const u8* p) noexcept nogil:
    return <u64>gb_ld32(p) | (<u64>gb_ld32(p + 4) << 32)


cdef inline void gb_st16(u8* p, u32 value) noexcept nogil:
    p[0] = <u8>(value & 0xff)
    p[1] = <u8>((value >> 8) & 0xff)


cdef inline void gb_st32(u8* p, u32 value) noexcept nogil:
    gb_st16(p, value & 0xffff)
    gb_st16(p + 2, value >> 16)


cdef inline void gb_st64(u8* p, u64 value) noexcept nogil:
    gb_st32(p, <u32>value)
    gb_st32(p + 4, <u32>(value >> 32))


cdef inline u64 gb_rotl(u64 x, int n) noexcept nogil:
    return (x << n) | (x >> (64 - n))


cdef inline void gb_sip_rounds(u64* v, int rounds) noexcept nogil:
    cdef u64 v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3]
    while rounds > 0:
        v0 += v1
        v1 = gb_rotl(v1, 13) ^ v0
        v0 = gb_rotl(v0, 32)
        v2 += v3
        v3 = gb_rotl(v3, 16) ^ v2
        v0 += v3
        v3 = gb_rotl(v3, 21) ^ v0
        v2 += v1
        v1 = gb_rotl(v1, 17) ^ v2
        v2 = gb_rotl(v2, 32)
        rounds -= 1
    v[0] = v0
    v[1] = v1
    v[2] = v2
    v[3] = v3


cdef inline u64 gb_siphash(const u8* key16, const u8* p, size_t n) noexcept nogil:
    cdef u64 v[4]
    cdef u64 k0 = gb_ld64(key16), k1 = gb_ld64(key16 + 8), word
    cdef size_t i = 0, left
    v[0] = k0 ^ <u64>0x736f6d6570736575
    v[1] = k1 ^ <u64>0x646f72616e646f6d
    v[2] = k0 ^ <u64>0x6c7967656e657261
    v[3] = k1 ^ <u64>0x7465646279746573
    while i + 8 <= n:
        word = gb_ld64(p + i)
        v[3] ^= word
        gb_sip_rounds(v, 2)
        v[0] ^= word
        i += 8
    word = (<u64>n & 0xff) << 56
    left = 0
    while i < n:
        word |= <u64>p[i] << (8 * left)
        i += 1
        left += 1
    v[3] ^= word
    gb_sip_rounds(v, 2)
    v[0] ^= word
    v[2] ^= 0xff
    gb_sip_rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
