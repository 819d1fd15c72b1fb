# SHA-256 and what the protocol hashes with it. Needs base.pxi.
#
# libcrypto's low-level functions: an EVP fetch a call would cost more than hashing a header does. They use the CPU's
# SHA instructions all the same. PAE is DSSE's: "DSSEv1" SP len(type) SP type SP len(body) SP body.

cdef extern from "<openssl/sha.h>" nogil:
    ctypedef struct gb_sha "SHA256_CTX":
        pass
    int SHA256_Init(gb_sha* c)
    int SHA256_Update(gb_sha* c, const void* p, size_t n)
    int SHA256_Final(u8* out, gb_sha* c)


cdef inline void gb_sha_init(gb_sha* c) noexcept nogil:
    SHA256_Init(c)


cdef inline void gb_sha_update(gb_sha* c, const u8* p, size_t n) noexcept nogil:
    if n:
        SHA256_Update(c, p, n)


cdef inline void gb_sha_final(gb_sha* c, u8* out32) noexcept nogil:
    SHA256_Final(out32, c)


cdef inline void gb_sha256(const u8* p, size_t n, u8* out32) noexcept nogil:
    cdef gb_sha c
    gb_sha_init(&c)
    gb_sha_update(&c, p, n)
    gb_sha_final(&c, out32)


cdef inline size_t gb_decimal(u64 value, u8* out20) noexcept nogil:
    """Decimal digits of value; at most 20."""
    cdef u8 reversed_digits[20]
    cdef size_t n = 0, i
    while True:
        reversed_digits[n] = <u8>(48 + value % <u64>10)
        value = value / <u64>10
        n += 1
        if value == 0:
            break
    for i in range(n):
        out20[i] = reversed_digits[n - 1 - i]
    return n


cdef inline size_t gb_pae_prefix(gb_span type_, u64 body, u8* out) noexcept nogil:
    """What PAE puts before a body of that length; out holds 56 + type_.n bytes. Returns the length."""
    cdef size_t n = 7
    memcpy(out, b"DSSEv1 ", 7)
    n += gb_decimal(type_.n, out + n)
    out[n] = 32
    n += 1
    memcpy(out + n, type_.p, type_.n)
    n += type_.n
    out[n] = 32
    n += 1
    n += gb_decimal(body, out + n)
    out[n] = 32
    return n + 1


cdef inline void gb_pae_absorb(gb_sha* c, gb_span type_, gb_span a, gb_span b) noexcept nogil:
    """PAE(type, a || b) into a running hash. Types are ours and at most 64 bytes long; a longer one hashes as empty."""
    cdef u8 prefix[128]
    if type_.n > 64:
        type_.n = 0
    gb_sha_update(c, prefix, gb_pae_prefix(type_, <u64>a.n + <u64>b.n, prefix))
    gb_sha_update(c, a.p, a.n)
    gb_sha_update(c, b.p, b.n)


cdef inline void gb_pae_digest(gb_span type_, gb_span a, gb_span b, u8* out32) noexcept nogil:
    """SHA-256(PAE(type, a || b)); b is empty where the body is in one piece."""
    cdef gb_sha c
    gb_sha_init(&c)
    gb_pae_absorb(&c, type_, a, b)
    gb_sha_final(&c, out32)


cdef inline void gb_header_digest(gb_span type_, gb_span header, u8* out32) noexcept nogil:
    """SHA-256(PAE(type, header)): how receipts, admissions and answers name a header."""
    gb_pae_digest(type_, header, gb_make_span(NULL, 0), out32)


cdef inline void gb_leaf(gb_span type_, gb_span header, u8* out32) noexcept nogil:
    """Leaf of a batch: SHA-256(0x00 || PAE(type, header)), RFC 9162 2.1.1."""
    cdef gb_sha c
    cdef u8 zero = 0
    gb_sha_init(&c)
    gb_sha_update(&c, &zero, 1)
    gb_pae_absorb(&c, type_, header, gb_make_span(NULL, 0))
    gb_sha_final(&c, out32)


cdef inline void gb_node(const u8* left, const u8* right, u8* out32) noexcept nogil:
    """SHA-256(0x01 || left || right), RFC 9162 2.1.1; out may be left or right."""
    cdef u8 joined[65]
    joined[0] = 1
    memcpy(joined + 1, left, 32)
    memcpy(joined + 33, right, 32)
    gb_sha256(joined, 65, out32)


cdef inline void gb_commitment(const u8* salt32, const u8* digest32, u8* out32) noexcept nogil:
    """SHA-256(salt || digest): the body commitment, and the released commitment of a receipt."""
    cdef u8 joined[64]
    memcpy(joined, salt32, 32)
    memcpy(joined + 32, digest32, 32)
    gb_sha256(joined, 64, out32)
