# RFC 9162 trees over leaf hashes. Needs base.pxi, sha256.pxi.
#
# Built level by level: a node without a right neighbour moves up unchanged, which gives the root of RFC 9162 2.1.1.
# The caller brings all memory. A path must be exactly as long as size and index say; a proof with a node too many or
# too few is refused before anything is compared.

cdef enum:
    GB_TREE_LEVELS = 12                     # 1,024 leaves make 11 levels
    GB_TREE_NODES = 2 * 1024 + 12
    GB_TREE_BYTES = (2 * 1024 + 12) * 32    # buffer for the largest batch
    GB_PATH_NODES = 10                      # longest path in a batch

ctypedef struct gb_merkle_tree:
    u8* nodes                  # all levels, leaves first, 32 bytes each
    u32 size                   # leaves
    u32 levels
    u32 offset[12]             # first node of a level
    u32 count[12]              # nodes of a level


cdef inline size_t gb_tree_bytes(u32 size) noexcept nogil:
    """Buffer that a tree of that many leaves needs."""
    return (2 * <size_t>size + GB_TREE_LEVELS) * 32


cdef int gb_merkle_tree_build(gb_merkle_tree* t, const u8* leaves, u32 size, u8* buffer) noexcept nogil:
    """All levels over 1-1,024 leaf hashes, else -1; buffer holds gb_tree_bytes(size) and lives as long as t."""
    cdef u32 level = 0, n = size, i
    cdef u8* row = buffer
    if size < 1 or size > GB_MAX_BATCH:
        return -1
    t.nodes = buffer
    t.size = size
    t.offset[0] = 0
    t.count[0] = size
    if leaves != buffer:
        memcpy(buffer, leaves, <size_t>size * 32)
    while n > 1:
        level += 1
        t.offset[level] = t.offset[level - 1] + n
        t.count[level] = (n + 1) >> 1
        for i in range(n >> 1):
            gb_node(row + <size_t>i * 64, row + <size_t>i * 64 + 32, buffer + (<size_t>t.offset[level] + i) * 32)
        if n & 1:
            memcpy(buffer + (<size_t>t.offset[level] + (n >> 1)) * 32, row + <size_t>(n - 1) * 32, 32)
        n = t.count[level]
        row = buffer + <size_t>t.offset[level] * 32
    t.levels = level + 1
    return 0


cdef inline const u8* gb_merkle_tree_root(const gb_merkle_tree* t) noexcept nogil:
    return t.nodes + <size_t>t.offset[t.levels - 1] * 32


cdef int gb_merkle_path(const gb_merkle_tree* t, u32 index, u8* out320) noexcept nogil:
    """Path of a leaf, from the leaf upwards (RFC 9162 2.1.3.1); returns the nodes, 0-10, or -1: no such leaf."""
    cdef u32 level, sibling
    cdef int nodes = 0
    if index >= t.size:
        return -1
    for level in range(t.levels - 1):
        sibling = index ^ 1
        if sibling < t.count[level]:
            memcpy(out320 + nodes * 32, t.nodes + (<size_t>t.offset[level] + sibling) * 32, 32)
            nodes += 1
        index >>= 1
    return nodes


cdef inline u64 gb_merkle_level(u8* rows, u64 n) noexcept nogil:
    """Replaces n nodes of one level by the next level; returns how many those are."""
    cdef u64 i
    for i in range(n >> 1):
        gb_node(rows + i * 64, rows + i * 64 + 32, rows + i * 32)
    if n & 1:
        memmove(rows + (n >> 1) * 32, rows + (n - 1) * 32, 32)
    return (n + 1) >> 1


cdef inline void gb_merkle_root(u8* rows, u64 n, u8* out32) noexcept nogil:
    """Root over n >= 1 leaf hashes at rows, which are overwritten."""
    while n > 1:
        n = gb_merkle_level(rows, n)
    memcpy(out32, rows, 32)


cdef int gb_root_from_path(
    const u8* leaf32, u64 size, u64 index, const u8* path, size_t nodes, u8* root32
) noexcept nogil:
    """Root that leaf and path give (RFC 9162 2.1.3.2); -1 when size, index and nodes do not belong together."""
    cdef u64 fn = index, sn
    cdef size_t i
    if index >= size:
        return -1
    sn = size - 1
    memcpy(root32, leaf32, 32)
    for i in range(nodes):
        if sn == 0:
            return -1
        if fn & 1 or fn == sn:
            gb_node(path + i * 32, root32, root32)
            while fn and not fn & 1:
                fn >>= 1
                sn >>= 1
        else:
            gb_node(root32, path + i * 32, root32)
        fn >>= 1
        sn >>= 1
    return 0 if sn == 0 else -1


cdef inline bint gb_is_subtree(u64 start, u64 end) noexcept nogil:
    """[start, end) is not empty and start is a multiple of the least power of two that is >= end - start."""
    cdef u64 width = 1
    if start >= end:
        return False
    while width and width < end - start:
        width <<= 1
    return start == 0 or (width != 0 and not start & (width - 1))


cdef int gb_verify_consistency(
    u64 start, u64 end, u64 size, const u8* node32, const u8* root32, const u8* path, size_t nodes
) noexcept nogil:
    """
    Whether the subtree [start, end) with hash node lies in the tree of that size and root: 0, or -1.

    With start 0 this is RFC 9162 2.1.4.2; in general it is the subtree proof of draft-ietf-plants-merkle-tree-certs.
    """
    cdef u64 fn = start, sn = end - 1, tn = size - 1
    cdef u8 fr[32]
    cdef u8 sr[32]
    cdef size_t i = 0
    if not gb_is_subtree(start, end) or end > size:
        return -1
    while fn != sn and (sn == tn or sn & 1):
        fn >>= 1
        sn >>= 1
        tn >>= 1
    if fn == sn:
        memcpy(fr, node32, 32)
    elif nodes == 0:
        return -1
    else:
        memcpy(fr, path, 32)
        i = 1
    memcpy(sr, fr, 32)
    while i < nodes:
        if tn == 0:
            return -1
        if sn & 1 or sn == tn:
            if fn < sn:
                gb_node(path + i * 32, fr, fr)
            gb_node(path + i * 32, sr, sr)
            while not sn & 1:
                fn >>= 1
                sn >>= 1
                tn >>= 1
        else:
            gb_node(sr, path + i * 32, sr)
        fn >>= 1
        sn >>= 1
        tn >>= 1
        i += 1
    return 0 if tn == 0 and gb_eq32(fr, node32) and gb_eq32(sr, root32) else -1
