# Batch signatures, the only form of signature on the bus. Needs base, sync, sha256, codec*, ecdsa, merkle, sigcache.
#
# leaf = SHA-256(0x00 || PAE(type, header)); signed bytes = PAE("govbus/batch/v1", size as u16 big-endian || root);
# the path is exactly RFC 9162's for (size, index). Protocol.md, section 2.

cdef enum:
    GB_BATCH_OK = 0
    GB_BATCH_PATH = 1         # size, index and path do not belong together
    GB_BATCH_SIGNATURE = 2    # the signature does not verify, s is high, or the key is another
    GB_BATCH_UNKNOWN = 3      # nothing is wrong so far; the signature has yet to be verified
    GB_BATCH_MEMORY = 4       # no memory to prepare the key
    GB_BATCH_MESSAGE = 63     # length of what is signed
    GB_SIGNATURE_MAX = 512    # an encoded Signature is shorter


cdef inline void gb_batch_message(u32 size, const u8* root32, u8* out63) noexcept nogil:
    """PAE("govbus/batch/v1", u16be(size) || root)."""
    memcpy(out63, b"DSSEv1 15 govbus/batch/v1 34 ", 29)
    out63[29] = <u8>(size >> 8)
    out63[30] = <u8>size
    memcpy(out63 + 31, root32, 32)


cdef int gb_batch_begin(
    const u8* key_id32, const gb_signature* sig, const u8* leaf32, gb_sigcache* cache, u8* root32
) noexcept nogil:
    """
    All but the verification itself, which costs a hundred times as much: GB_BATCH_OK when it is remembered,
    GB_BATCH_PATH, GB_BATCH_SIGNATURE, or GB_BATCH_UNKNOWN: gb_batch_end, with the root, decides.
    """
    if sig.size < 1 or sig.size > GB_MAX_BATCH or sig.path.n & 31:
        return GB_BATCH_PATH
    if gb_root_from_path(leaf32, sig.size, sig.index, sig.path.p, sig.path.n >> 5, root32) != 0:
        return GB_BATCH_PATH
    if sig.algorithm != 1 or sig.value.n != 64 or sig.key_id.n != 32 or not gb_eq32(sig.key_id.p, key_id32):
        return GB_BATCH_SIGNATURE
    if cache != NULL and gb_sigcache_seen(cache, key_id32, <u32>sig.size, root32, sig.value.p):
        return GB_BATCH_OK
    return GB_BATCH_UNKNOWN


cdef int gb_batch_end(const gb_pubkey* key, const gb_signature* sig, gb_sigcache* cache, const u8* root32) noexcept nogil:
    """Verifies what gb_batch_begin left open: GB_BATCH_OK, remembered from now on, or GB_BATCH_SIGNATURE."""
    cdef u8 message[63]
    gb_batch_message(<u32>sig.size, root32, message)
    if not gb_verify(key, message, GB_BATCH_MESSAGE, sig.value.p):
        return GB_BATCH_SIGNATURE
    if cache != NULL:
        gb_sigcache_remember(cache, key.id, <u32>sig.size, root32, sig.value.p)
    return GB_BATCH_OK


cdef int gb_batch_verify(
    const gb_pubkey* key, const gb_signature* sig, const u8* leaf32, gb_sigcache* cache
) noexcept nogil:
    """
    Verifies a parsed Signature over a leaf with a key that the caller found valid now. cache may be NULL.

    Returns GB_BATCH_OK, GB_BATCH_PATH or GB_BATCH_SIGNATURE.
    """
    cdef u8 root[32]
    cdef int answer = gb_batch_begin(key.id, sig, leaf32, cache, root)
    return gb_batch_end(key, sig, cache, root) if answer == GB_BATCH_UNKNOWN else answer


cdef ssize_t gb_batch_encode(
    const gb_merkle_tree* tree, u32 index, const u8* key_id32, const u8* sig64, u8* out, size_t cap
) noexcept nogil:
    """Encodes the Signature of one leaf of a signed tree; the length, or a negative number."""
    cdef u8 path[320]
    cdef gb_signature s
    cdef int nodes = gb_merkle_path(tree, index, path)
    if nodes < 0:
        return -1
    memset(&s, 0, sizeof(s))
    s.key_id = gb_make_span(key_id32, 32)
    s.algorithm = 1
    s.size = tree.size
    s.index = index
    s.path = gb_make_span(path, <size_t>nodes * 32)
    s.value = gb_make_span(sig64, 64)
    return gb_encode_signature(&s, out, cap)


cdef int gb_batch_sign(const gb_privkey* key, const gb_merkle_tree* tree, u8* out64) noexcept nogil:
    """Signs the root of a tree with a key in this process; 1, or 0 when libcrypto failed."""
    cdef u8 message[63]
    gb_batch_message(tree.size, gb_merkle_tree_root(tree), message)
    return gb_sign(key, message, GB_BATCH_MESSAGE, out64)
