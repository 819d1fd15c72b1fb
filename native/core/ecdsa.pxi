# P-256 with SHA-256 through libcrypto: keys prepared once, used from any thread. Needs base.pxi, sha256.pxi.
#
# A signature is r || s, 32 bytes each, 1 <= r < n, 1 <= s <= n/2: one signature has one spelling. A public key is the
# uncompressed point, 65 bytes; its id is SHA-256 of the SPKI, which for P-256 is a constant followed by the point.
# Each key keeps an initialized context that is only ever duplicated, so that no call looks algorithms up again and no
# two threads share state. libcrypto's error queue is left empty.

cdef extern from "<openssl/params.h>" nogil:
    ctypedef struct OSSL_PARAM:
        pass
    OSSL_PARAM OSSL_PARAM_construct_utf8_string(const char* key, char* value, size_t n)
    OSSL_PARAM OSSL_PARAM_construct_octet_string(const char* key, void* value, size_t n)
    OSSL_PARAM OSSL_PARAM_construct_end()

cdef extern from "<openssl/bn.h>" nogil:
    ctypedef struct BIGNUM:
        pass
    int BN_bn2binpad(const BIGNUM* a, u8* out, int n)
    void BN_free(BIGNUM* a)

cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_PKEY:
        pass
    ctypedef struct EVP_PKEY_CTX:
        pass
    enum:
        EVP_PKEY_EC
        EVP_PKEY_PUBLIC_KEY
        EVP_PKEY_KEYPAIR
    EVP_PKEY* EVP_EC_gen(const char* curve)
    void EVP_PKEY_free(EVP_PKEY* key)
    EVP_PKEY_CTX* EVP_PKEY_CTX_new(EVP_PKEY* key, void* engine)
    EVP_PKEY_CTX* EVP_PKEY_CTX_new_from_name(void* lib, const char* name, const char* query)
    EVP_PKEY_CTX* EVP_PKEY_CTX_dup(const EVP_PKEY_CTX* ctx)
    void EVP_PKEY_CTX_free(EVP_PKEY_CTX* ctx)
    int EVP_PKEY_fromdata_init(EVP_PKEY_CTX* ctx)
    int EVP_PKEY_fromdata(EVP_PKEY_CTX* ctx, EVP_PKEY** out, int selection, OSSL_PARAM* params)
    int EVP_PKEY_pairwise_check(EVP_PKEY_CTX* ctx)
    int EVP_PKEY_verify_init(EVP_PKEY_CTX* ctx)
    int EVP_PKEY_verify(EVP_PKEY_CTX* ctx, const u8* sig, size_t sig_n, const u8* digest, size_t n)
    int EVP_PKEY_sign_init(EVP_PKEY_CTX* ctx)
    int EVP_PKEY_sign(EVP_PKEY_CTX* ctx, u8* sig, size_t* sig_n, const u8* digest, size_t n)
    int EVP_PKEY_get_group_name(const EVP_PKEY* key, char* out, size_t cap, size_t* n)
    int EVP_PKEY_get_bn_param(const EVP_PKEY* key, const char* name, BIGNUM** out)
    EVP_PKEY* d2i_AutoPrivateKey(EVP_PKEY** out, const u8** p, long n)

cdef extern from "<openssl/ec.h>" nogil:
    ctypedef struct EC_GROUP:
        pass
    ctypedef struct EC_POINT:
        pass
    ctypedef struct BN_CTX:
        pass
    enum:
        NID_X9_62_prime256v1
    BN_CTX* BN_CTX_new()
    void BN_CTX_free(BN_CTX* c)
    EC_GROUP* EC_GROUP_new_by_curve_name(int nid)
    void EC_GROUP_free(EC_GROUP* group)
    EC_POINT* EC_POINT_new(const EC_GROUP* group)
    void EC_POINT_free(EC_POINT* point)
    int EC_POINT_oct2point(const EC_GROUP* group, EC_POINT* p, const u8* buf, size_t n, BN_CTX* ctx)

cdef extern from "<openssl/x509.h>" nogil:
    ctypedef struct PKCS8_PRIV_KEY_INFO:
        pass
    PKCS8_PRIV_KEY_INFO* EVP_PKEY2PKCS8(const EVP_PKEY* key)
    int i2d_PKCS8_PRIV_KEY_INFO(PKCS8_PRIV_KEY_INFO* info, u8** out)
    void PKCS8_PRIV_KEY_INFO_free(PKCS8_PRIV_KEY_INFO* info)

cdef extern from "<openssl/err.h>" nogil:
    void ERR_clear_error()

cdef extern from "<openssl/crypto.h>" nogil:
    void OPENSSL_cleanse(void* p, size_t n)

cdef extern from *:
    """
    /* Order of the group, SEC 2, 2.4.2, and its half rounded down. */
    static const unsigned char gb_p256_n[32] = {
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    static const unsigned char gb_p256_half[32] = {
        0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8};
    static const unsigned char gb_zero32[32] = {0};
    /* SubjectPublicKeyInfo of an uncompressed P-256 point, RFC 5480, without the point. */
    static const unsigned char gb_spki_prefix[26] = {
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
        0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    """
    const u8 gb_p256_n[32]
    const u8 gb_p256_half[32]
    const u8 gb_zero32[32]
    const u8 gb_spki_prefix[26]

cdef enum:
    GB_SPKI_PREFIX = 26
    GB_DER_SIGNATURE = 72

ctypedef struct gb_pubkey:
    EVP_PKEY* key
    EVP_PKEY_CTX* ctx
    u8 point[65]
    u8 id[32]

ctypedef struct gb_privkey:
    EVP_PKEY* key
    EVP_PKEY_CTX* ctx
    u8 point[65]
    u8 id[32]


cdef inline void gb_key_id(const u8* point65, u8* id32) noexcept nogil:
    """SHA-256 of the SPKI of that point."""
    cdef u8 spki[91]
    memcpy(spki, gb_spki_prefix, GB_SPKI_PREFIX)
    memcpy(spki + GB_SPKI_PREFIX, point65, 65)
    gb_sha256(spki, 91, id32)


cdef inline EVP_PKEY* gb_import_point(const u8* point65) noexcept nogil:
    """libcrypto refuses a point that is not on the curve."""
    cdef OSSL_PARAM params[3]
    cdef EVP_PKEY* key = NULL
    cdef EVP_PKEY_CTX* ctx
    if point65[0] != 4:
        return NULL
    ctx = EVP_PKEY_CTX_new_from_name(NULL, b"EC", NULL)
    params[0] = OSSL_PARAM_construct_utf8_string(b"group", <char*>b"prime256v1", 0)
    params[1] = OSSL_PARAM_construct_octet_string(b"pub", <void*>point65, 65)
    params[2] = OSSL_PARAM_construct_end()
    if ctx != NULL and EVP_PKEY_fromdata_init(ctx) == 1:
        if EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1:
            key = NULL
    EVP_PKEY_CTX_free(ctx)
    return key


cdef int gb_points_bad(const u8* first, size_t stride, u32 n) noexcept nogil:
    """0 when n uncompressed points, one each stride bytes, lie on P-256; 1 when one does not, -1 without memory."""
    cdef EC_GROUP* group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)
    cdef EC_POINT* point = EC_POINT_new(group) if group != NULL else NULL
    cdef BN_CTX* numbers = BN_CTX_new()
    cdef int bad = -1 if point == NULL or numbers == NULL else 0
    cdef u32 i
    for i in range(n):
        if bad == 0 and (first[i * stride] != 4 or EC_POINT_oct2point(group, point, first + i * stride, 65, numbers) != 1):
            bad = 1
    BN_CTX_free(numbers)
    EC_POINT_free(point)
    EC_GROUP_free(group)
    if bad:
        ERR_clear_error()
    return bad


cdef inline void gb_pubkey_free(gb_pubkey* k) noexcept nogil:
    if k == NULL:
        return
    EVP_PKEY_CTX_free(k.ctx)
    EVP_PKEY_free(k.key)
    free(k)


cdef gb_pubkey* gb_pubkey_new(const u8* point65) noexcept nogil:
    """A key ready to verify, or NULL when the point is not on P-256 or memory is short."""
    cdef gb_pubkey* k = <gb_pubkey*>calloc(1, sizeof(gb_pubkey))
    if k == NULL:
        return NULL
    k.key = gb_import_point(point65)
    if k.key != NULL:
        k.ctx = EVP_PKEY_CTX_new(k.key, NULL)
    if k.ctx == NULL or EVP_PKEY_verify_init(k.ctx) != 1:
        gb_pubkey_free(k)
        ERR_clear_error()
        return NULL
    memcpy(k.point, point65, 65)
    gb_key_id(point65, k.id)
    return k


cdef inline bint gb_signature_in_range(const u8* sig64) noexcept nogil:
    """1 <= r < n and 1 <= s <= n/2."""
    return (
        memcmp(sig64, gb_p256_n, 32) < 0
        and memcmp(sig64, gb_zero32, 32) != 0
        and memcmp(sig64 + 32, gb_p256_half, 32) <= 0
        and memcmp(sig64 + 32, gb_zero32, 32) != 0
    )


cdef inline size_t gb_der_integer(const u8* value32, u8* out) noexcept nogil:
    """A positive 32-byte number as a DER INTEGER; at most 35 bytes."""
    cdef size_t skip = 0, pad, n
    while skip < 31 and value32[skip] == 0:
        skip += 1
    pad = value32[skip] >> 7
    n = 32 - skip
    out[0] = 2
    out[1] = <u8>(n + pad)
    out[2] = 0
    memcpy(out + 2 + pad, value32 + skip, n)
    return 2 + pad + n


cdef int gb_verify_digest(const gb_pubkey* k, const u8* digest32, const u8* sig64) noexcept nogil:
    """1 when sig is k's signature of the digest, else 0."""
    cdef u8 der[72]
    cdef size_t n
    cdef int good
    cdef EVP_PKEY_CTX* ctx
    if not gb_signature_in_range(sig64):
        return 0
    n = 2 + gb_der_integer(sig64, der + 2)
    n += gb_der_integer(sig64 + 32, der + n)
    der[0] = 0x30
    der[1] = <u8>(n - 2)
    ctx = EVP_PKEY_CTX_dup(k.ctx)
    good = ctx != NULL and EVP_PKEY_verify(ctx, der, n, digest32, 32) == 1
    EVP_PKEY_CTX_free(ctx)
    if not good:
        ERR_clear_error()
    return good


cdef int gb_verify(const gb_pubkey* k, const u8* message, size_t n, const u8* sig64) noexcept nogil:
    """1 when sig is k's signature of the message, else 0."""
    cdef u8 digest[32]
    gb_sha256(message, n, digest)
    return gb_verify_digest(k, digest, sig64)


cdef inline void gb_privkey_free(gb_privkey* k) noexcept nogil:
    if k != NULL:
        EVP_PKEY_CTX_free(k.ctx)
        EVP_PKEY_free(k.key)
        free(k)


cdef inline bint gb_coordinate(EVP_PKEY* key, const char* name, u8* out32) noexcept nogil:
    cdef BIGNUM* value = NULL
    cdef bint good = EVP_PKEY_get_bn_param(key, name, &value) == 1 and BN_bn2binpad(value, out32, 32) == 32
    BN_free(value)
    return good


cdef inline bint gb_is_p256_pair(EVP_PKEY* key) noexcept nogil:
    """A named-curve P-256 key whose halves belong together."""
    cdef char name[16]
    cdef size_t n = 0
    cdef EVP_PKEY_CTX* ctx
    cdef bint good
    memset(name, 0, sizeof(name))
    if EVP_PKEY_get_group_name(key, name, sizeof(name), &n) != 1 or n != 10 or memcmp(name, b"prime256v1", 10) != 0:
        return False
    ctx = EVP_PKEY_CTX_new(key, NULL)
    good = ctx != NULL and EVP_PKEY_pairwise_check(ctx) == 1
    EVP_PKEY_CTX_free(ctx)
    return good


cdef gb_privkey* gb_privkey_adopt(EVP_PKEY* key) noexcept nogil:
    """Takes over key, freeing it when it is refused."""
    cdef gb_privkey* k = <gb_privkey*>calloc(1, sizeof(gb_privkey))
    if k == NULL or key == NULL or not gb_is_p256_pair(key):
        EVP_PKEY_free(key)
        free(k)
        ERR_clear_error()
        return NULL
    k.key = key
    k.ctx = EVP_PKEY_CTX_new(key, NULL)
    k.point[0] = 4
    if (
        k.ctx == NULL
        or EVP_PKEY_sign_init(k.ctx) != 1
        or not gb_coordinate(key, b"qx", k.point + 1)
        or not gb_coordinate(key, b"qy", k.point + 33)
    ):
        gb_privkey_free(k)
        ERR_clear_error()
        return NULL
    gb_key_id(k.point, k.id)
    return k


cdef gb_privkey* gb_privkey_new_der(const u8* p, size_t n) noexcept nogil:
    """From PKCS #8 or SEC 1 DER, nothing after it; NULL when it is not an unencrypted P-256 key."""
    cdef const u8* at = p
    cdef EVP_PKEY* key
    if n == 0 or n > 4096:
        return NULL
    key = d2i_AutoPrivateKey(NULL, &at, <long>n)
    if key != NULL and at != p + n:
        EVP_PKEY_free(key)
        key = NULL
    return gb_privkey_adopt(key)


cdef gb_privkey* gb_privkey_generate() noexcept nogil:
    return gb_privkey_adopt(EVP_EC_gen(b"P-256"))


cdef ssize_t gb_privkey_der(const gb_privkey* k, u8* out, size_t cap) noexcept nogil:
    """PKCS #8 DER; returns the length, or -1. The caller cleanses out."""
    cdef PKCS8_PRIV_KEY_INFO* info = EVP_PKEY2PKCS8(k.key)
    cdef u8* at = out
    cdef int n = -1
    if info != NULL:
        n = i2d_PKCS8_PRIV_KEY_INFO(info, NULL)
        n = i2d_PKCS8_PRIV_KEY_INFO(info, &at) if n > 0 and <size_t>n <= cap else -1
    PKCS8_PRIV_KEY_INFO_free(info)
    ERR_clear_error()
    return n if n > 0 else -1


cdef inline size_t gb_der_to_fixed(const u8* der, size_t n, u8* out32) noexcept nogil:
    """One DER INTEGER as libcrypto writes it, right-aligned in 32 bytes; returns the bytes read, or 0."""
    cdef size_t size, skip
    if n < 3 or der[0] != 2 or der[1] == 0 or der[1] > 33 or n < <size_t>2 + der[1]:
        return 0
    size = der[1]
    skip = size - 32 if size > 32 else 0
    memset(out32, 0, 32)
    memcpy(out32 + 32 - (size - skip), der + 2 + skip, size - skip)
    return 2 + size


cdef inline void gb_make_low(u8* s32) noexcept nogil:
    """s or n - s, whichever is low. A signature is public: time may depend on it."""
    cdef int i, value, borrow = 0
    if memcmp(s32, gb_p256_half, 32) <= 0:
        return
    for i in range(31, -1, -1):
        value = <int>gb_p256_n[i] - <int>s32[i] - borrow
        borrow = 1 if value < 0 else 0
        s32[i] = <u8>(value & 255)


cdef int gb_sign_digest(const gb_privkey* k, const u8* digest32, u8* out64) noexcept nogil:
    """Signs; 1, or 0 when libcrypto failed."""
    cdef u8 der[80]
    cdef size_t n = sizeof(der), first = 0, second = 0
    cdef EVP_PKEY_CTX* ctx = EVP_PKEY_CTX_dup(k.ctx)
    if ctx != NULL and EVP_PKEY_sign(ctx, der, &n, digest32, 32) == 1 and n > 8 and n <= 72:
        first = gb_der_to_fixed(der + 2, n - 2, out64)
        if first:
            second = gb_der_to_fixed(der + 2 + first, n - 2 - first, out64 + 32)
    EVP_PKEY_CTX_free(ctx)
    if second == 0 or 2 + first + second != n:
        ERR_clear_error()
        return 0
    gb_make_low(out64 + 32)
    return 1


cdef int gb_sign(const gb_privkey* k, const u8* message, size_t n, u8* out64) noexcept nogil:
    """Signs the message; 1, or 0 when libcrypto failed."""
    cdef u8 digest[32]
    gb_sha256(message, n, digest)
    return gb_sign_digest(k, digest, out64)
