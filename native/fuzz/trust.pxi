# Targets: Merkle paths and batch signatures. Needs input.pxi, merkle.pxi, ecdsa.pxi, batch.pxi.

cdef extern from "<openssl/err.h>" nogil:
    unsigned long ERR_peek_error()

cdef extern from *:
    """
    /* The point that generates P-256 (SEC 2, 2.4.2): the public key whose private half is 1, so a secret of nobody. */
    static const unsigned char fuzz_generator[65] = {
        0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63, 0xa4, 0x40, 0xf2,
        0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96,
        0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16,
        0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5};
    """
    const u8 fuzz_generator[65]

cdef gb_pubkey* the_key
cdef gb_sigcache* the_cache


cdef void prepare_key() noexcept nogil:
    if the_key == NULL:
        globals_set(gb_pubkey_new(fuzz_generator), gb_sigcache_new(4))
        expect(the_key != NULL and the_cache != NULL, b"the generator of P-256 is a key")


cdef void globals_set(gb_pubkey* key, gb_sigcache* cache) noexcept nogil:
    global the_key, the_cache
    the_key = key
    the_cache = cache


# --- merkle: byte 0 chooses: a path of any numbers, a tree of our own, a consistency proof of any numbers --------------------

cdef void merkle(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef u64 kind = take_number(&s, 1) & 3
    if kind == 1:
        merkle_tree(&s)
    elif kind == 2:
        merkle_consistency(&s)
    else:
        merkle_path(&s)


cdef int merkle_reference(const u8* leaf32, u64 size, u64 index, const u8* path, size_t nodes, u8* root32) noexcept nogil:
    """RFC 9162 2.1.3.1 from the root down: which side the leaf is on, then the hashes from the leaf up."""
    cdef u8 right[64]
    cdef size_t depth = 0, i
    cdef u64 half
    if index >= size:
        return -1
    while size > 1:
        half = 1
        while half < size - half:
            half <<= 1
        right[depth] = index >= half
        if right[depth]:
            index -= half
            size -= half
        else:
            size = half
        depth += 1
    if depth != nodes:
        return -1
    memcpy(root32, leaf32, 32)
    for i in range(nodes):
        if right[depth - 1 - i]:
            gb_node(path + 32 * i, root32, root32)
        else:
            gb_node(root32, path + 32 * i, root32)
    return 0


cdef void merkle_path(source* s) noexcept nogil:
    """Two numbers, then nodes: the walk up and the walk down agree on what belongs together, and on the root."""
    cdef u64 size = take_number(s, 8), index = take_number(s, 8)
    cdef u8 leaf[32]
    cdef u8 root[32]
    cdef u8 wanted[32]
    cdef size_t nodes = s.n >> 5
    cdef u8* path = block_of(gb_make_span(s.p, nodes * 32))
    cdef int answer
    memset(leaf, 7, 32)
    answer = gb_root_from_path(leaf, size, index, path, nodes, root)
    expect(merkle_reference(leaf, size, index, path, nodes, wanted) == answer, b"a path has the one length it can have")
    expect(answer == -1 or (answer == 0 and gb_eq32(root, wanted)), b"a path gives the root of its definition")
    free(path)


cdef void merkle_tree(source* s) noexcept nogil:
    """Each leaf's path leads to the root, and nothing but that path does."""
    cdef u32 size = <u32>take_number(s, 2) % 1100, index = <u32>take_number(s, 2), flipped = <u32>take_number(s, 2), i
    cdef u8* leaves = block(<size_t>size * 32)
    cdef u8* buffer = block(gb_tree_bytes(size))
    cdef gb_merkle_tree t
    for i in range(size):
        memset(leaves + 32 * <size_t>i, <int>(i & 255), 32)
        leaves[32 * <size_t>i] = <u8>(i >> 8)
    if s.n >= 32 and size:
        memcpy(leaves, s.p, 32)
    if gb_merkle_tree_build(&t, leaves, size, buffer) == 0:
        expect(size >= 1 and size <= GB_MAX_BATCH, b"a batch has 1 to 1024 leaves")
        merkle_leaf(&t, leaves, index, flipped)
    else:
        expect(size == 0 or size > GB_MAX_BATCH, b"1 to 1024 leaves make a tree")
    free(leaves)
    free(buffer)


cdef void merkle_leaf(const gb_merkle_tree* t, u8* leaves, u32 index, u32 flipped) noexcept nogil:
    cdef const u8* top = gb_merkle_tree_root(t)
    cdef u8 path[352]
    cdef u8 root[32]
    cdef int nodes = gb_merkle_path(t, index, path)
    cdef const u8* leaf = leaves + 32 * <size_t>index
    if index >= t.size:
        expect(nodes == -1, b"a leaf that is not there has no path")
        return
    expect(nodes >= 0 and nodes <= GB_PATH_NODES, b"a path has at most ten nodes")
    expect(gb_root_from_path(leaf, t.size, index, path, nodes, root) == 0, b"a path fits its tree")
    expect(gb_eq32(root, top), b"a path leads to the root")
    memset(path + 32 * nodes, 0, 32)
    expect(gb_root_from_path(leaf, t.size, index, path, nodes + 1, root) == -1, b"a node too many is refused")
    if nodes:
        expect(gb_root_from_path(leaf, t.size, index, path, nodes - 1, root) == -1, b"a node too few is refused")
        path[flipped % (32 * <u32>nodes)] ^= 1
        expect(gb_root_from_path(leaf, t.size, index, path, nodes, root) == 0, b"the path still has its length")
        expect(not gb_eq32(root, top), b"another node leads elsewhere")
    gb_merkle_root(leaves, t.size, root)
    expect(gb_eq32(root, top), b"both ways to the root agree")


cdef void merkle_consistency(source* s) noexcept nogil:
    """Any numbers and nodes: an answer, and the same one for a proof with a node more or less only if that is refused."""
    cdef u64 start = take_number(s, 8), end = take_number(s, 8), size = take_number(s, 8)
    cdef u8 node[32]
    cdef u8 root[32]
    cdef size_t nodes
    cdef u8* path
    cdef int answer
    take_digest(s, node)
    take_digest(s, root)
    nodes = s.n >> 5
    path = block_of(gb_make_span(s.p, nodes * 32))
    answer = gb_verify_consistency(start, end, size, node, root, path, nodes)
    expect(answer == 0 or answer == -1, b"a consistency proof holds or does not")
    if answer == 0:
        expect(end > start and end <= size, b"a subtree lies in its tree")
        if nodes:
            expect(gb_verify_consistency(start, end, size, node, root, path, nodes - 1) == -1, b"a node too few is refused")
        root[0] ^= 1
        expect(gb_verify_consistency(start, end, size, node, root, path, nodes) == -1, b"another root is refused")
    free(path)


# --- batch: byte 0: 0-253 the length of a header before a Signature; 254 numbers of any size; 255 a point -----------------------

cdef void batch(const u8* p, size_t n) noexcept nogil:
    cdef source s = source_of(p, n)
    cdef size_t kind = <size_t>take_number(&s, 1)
    prepare_key()
    if kind == 255:
        batch_point(&s)
    elif kind == 254:
        batch_numbers(&s)
    else:
        batch_message(&s, kind)
    expect(ERR_peek_error() == 0, b"libcrypto's error queue is left empty")


cdef void batch_message(source* s, size_t length) noexcept nogil:
    cdef gb_span header = take(s, length)
    cdef u8* wire = block_of(gb_make_span(s.p, s.n))
    cdef gb_signature sig
    cdef int field = 0
    cdef u8 leaf[32]
    gb_leaf(gb_literal(b"govbus/request/v1"), header, leaf)
    if gb_parse_signature(wire, s.n, &sig, &field) == 0:
        batch_verify(&sig, leaf)
    free(wire)


cdef void batch_verify(gb_signature* sig, u8* leaf) noexcept nogil:
    """The cache changes no answer, and beside a remembered root nothing else passes."""
    cdef int answer = gb_batch_verify(the_key, sig, leaf, NULL)
    cdef u8 value[64]
    expect(answer >= GB_BATCH_OK and answer <= GB_BATCH_SIGNATURE, b"a signature verifies, or is refused for one reason")
    expect(gb_batch_verify(the_key, sig, leaf, the_cache) == answer, b"the cache does not change an answer")
    expect(gb_batch_verify(the_key, sig, leaf, the_cache) == answer, b"an answer from the cache is the same")
    if answer == GB_BATCH_OK:
        memcpy(value, sig.value.p, 64)
        sig.value.p = value
        value[leaf[0] & 63] ^= 1
        expect(gb_batch_verify(the_key, sig, leaf, the_cache) == GB_BATCH_SIGNATURE, b"garbage beside a known root is refused")
        value[leaf[0] & 63] ^= 1
        leaf[1] ^= 1
        expect(gb_batch_verify(the_key, sig, leaf, the_cache) == GB_BATCH_SIGNATURE, b"another header is refused")


cdef void batch_numbers(source* s) noexcept nogil:
    """A struct that no parser would give: sizes, lengths and spans of any kind."""
    cdef gb_signature sig
    cdef u8 leaf[32]
    cdef u8* key_id
    cdef u8* value
    cdef u8* path
    memset(&sig, 0, sizeof(sig))
    sig.algorithm = take_number(s, 1)
    sig.size = take_number(s, 8)
    sig.index = take_number(s, 8)
    sig.key_id = take(s, take_number(s, 1))
    sig.value = take(s, take_number(s, 1))
    take_digest(s, leaf)
    sig.path = gb_make_span(s.p, s.n)
    key_id = block_of(sig.key_id)
    value = block_of(sig.value)
    path = block_of(sig.path)
    sig.key_id.p = key_id
    sig.value.p = value
    sig.path.p = path
    batch_verify(&sig, leaf)
    free(key_id)
    free(value)
    free(path)


cdef void batch_point(source* s) noexcept nogil:
    """65 bytes as a public key, then 64 as its signature of the rest."""
    cdef u8 point[65]
    cdef u8 value[64]
    cdef gb_span raw = take(s, 65)
    cdef gb_pubkey* key
    memset(point, 0, 65)
    memset(value, 0, 64)
    if raw.n:
        memcpy(point, raw.p, raw.n)
    raw = take(s, 64)
    if raw.n:
        memcpy(value, raw.p, raw.n)
    key = gb_pubkey_new(point)
    if key == NULL:
        return
    expect(point[0] == 4 and memcmp(key.point, point, 65) == 0, b"a key is the point it was made of")
    if gb_verify(key, s.p, s.n, value):
        expect(gb_signature_in_range(value), b"only a low signature verifies")
        value[32] ^= 128
        expect(not gb_verify(key, s.p, s.n, value), b"a signature has one spelling")
    gb_pubkey_free(key)
