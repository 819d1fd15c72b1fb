# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
#
# What the load tools sign with: the product's own core, so that their bytes are the protocol's and their cost is small.
# No Python object is touched; the linker drops the interpreter's half (benchmarks/build.py). signer.h declares this to C.
#
# A signer collects headers of one batch: bench_request or bench_response add a leaf, bench_seal signs the tree,
# bench_signature gives each header its Signature. The next header after a seal begins another batch.

include "native/core/base.pxi"
include "native/core/sync.pxi"
include "native/core/sha256.pxi"
include "native/core/base64.pxi"
include "native/core/codec_tables.pxi"
include "native/core/codec_text.pxi"
include "native/core/codec.pxi"
include "native/core/ecdsa.pxi"
include "native/core/merkle.pxi"
include "native/core/sigcache.pxi"
include "native/core/batch.pxi"

ctypedef struct bench_signer:
    gb_privkey* key
    gb_merkle_tree tree
    u32 leaves
    bint sealed
    u8 leaf[1024 * 32]
    u8 nodes[(2 * 1024 + 12) * 32]


cdef public void* bench_signer_new(const unsigned char* der, size_t n) noexcept nogil:
    """A signer with a P-256 key in DER, or NULL."""
    cdef bench_signer* s = <bench_signer*>calloc(1, sizeof(bench_signer))
    if s == NULL:
        return NULL
    s.key = gb_privkey_new_der(der, n)
    if s.key == NULL:
        free(s)
        return NULL
    return s


cdef void add_leaf(bench_signer* s, const char* type_, const u8* header, size_t n) noexcept nogil:
    if s.sealed:
        s.sealed = False
        s.leaves = 0
    gb_leaf(gb_literal(type_), gb_make_span(header, n), s.leaf + <size_t>s.leaves * 32)
    s.leaves += 1


cdef void commit_to(const u8* frames, size_t n, const u8* salt32, u8* out32) noexcept nogil:
    cdef u8 digest[32]
    gb_sha256(frames, n, digest)
    gb_commitment(salt32, digest, out32)


cdef gb_span text(const char* value) noexcept nogil:
    return gb_make_span(<const u8*>value, strlen(value))


cdef public Py_ssize_t bench_request(
    void* signer, const char** names, const unsigned char* id16, const unsigned char* salt32,
    const unsigned char* frames, size_t frames_n, long long now_ms, long long not_after_ms, unsigned char* out, size_t cap
) noexcept nogil:
    """A request header: names are client, provider, broker, method, purpose, case, grant. Its length, or negative."""
    cdef gb_request r
    cdef u8 commitment[32]
    cdef Py_ssize_t n
    memset(&r, 0, sizeof(r))
    commit_to(frames, frames_n, salt32, commitment)
    r.request_id = gb_make_span(id16, 16)
    r.client = text(names[0])
    r.provider = text(names[1])
    r.broker = text(names[2])
    r.method = text(names[3])
    r.body_commitment = gb_make_span(commitment, 32)
    r.issued_at_ms = now_ms
    r.not_after_ms = not_after_ms
    r.purpose = text(names[4])
    r.case_id = text(names[5])
    r.grant_id = text(names[6])
    n = gb_encode_request(&r, out, cap)
    if n > 0:
        add_leaf(<bench_signer*>signer, b"govbus/request/v1", out, <size_t>n)
    return n


cdef public Py_ssize_t bench_response(
    void* signer, const char* provider, const unsigned char* request, size_t request_n, const unsigned char* salt32,
    const unsigned char* frames, size_t frames_n, long long now_ms, unsigned char* out, size_t cap
) noexcept nogil:
    """The header of a good answer of one message to an encoded request header. Its length, or negative."""
    cdef gb_response r
    cdef u8 commitment[32]
    cdef u8 digest[32]
    cdef Py_ssize_t n
    memset(&r, 0, sizeof(r))
    commit_to(frames, frames_n, salt32, commitment)
    gb_header_digest(gb_literal(b"govbus/request/v1"), gb_make_span(request, request_n), digest)
    r.request_digest = gb_make_span(digest, 32)
    r.provider = text(provider)
    r.body_commitment = gb_make_span(commitment, 32)
    r.message_count = 1
    r.time_ms = now_ms
    n = gb_encode_response(&r, out, cap)
    if n > 0:
        add_leaf(<bench_signer*>signer, b"govbus/response/v1", out, <size_t>n)
    return n


cdef public int bench_seal(void* signer) noexcept nogil:
    """Signs the collected batch: 0, or -1."""
    cdef bench_signer* s = <bench_signer*>signer
    cdef u8 message[63]
    if gb_merkle_tree_build(&s.tree, s.leaf, s.leaves, s.nodes) != 0:
        return -1
    s.sealed = True
    gb_batch_message(s.tree.size, gb_merkle_tree_root(&s.tree), message)
    # The signature waits behind the leaves, which the next batch overwrites only after it has been handed out.
    return 0 if gb_sign(s.key, message, GB_BATCH_MESSAGE, s.leaf) else -1


cdef public Py_ssize_t bench_signature(void* signer, unsigned int index, unsigned char* out, size_t cap) noexcept nogil:
    """The encoded Signature of one header of the sealed batch. Its length, or negative."""
    cdef bench_signer* s = <bench_signer*>signer
    return gb_batch_encode(&s.tree, index, s.key.id, s.leaf, out, cap)


cdef public size_t bench_b64_encoded(size_t n) noexcept nogil:
    return gb_b64_encoded(n)


cdef public size_t bench_b64_encode(const unsigned char* p, size_t n, unsigned char* out) noexcept nogil:
    return gb_b64_encode(p, n, out)


cdef public Py_ssize_t bench_b64_decode(const unsigned char* p, size_t n, unsigned char* out, size_t cap) noexcept nogil:
    return gb_b64_decode(p, n, out, cap)


cdef public int bench_random(unsigned char* out, size_t n) noexcept nogil:
    return gb_random(out, n)


cdef public long long bench_now_ms() noexcept nogil:
    return gb_now_ms()


cdef public long long bench_mono_ns() noexcept nogil:
    return gb_mono_ns()
