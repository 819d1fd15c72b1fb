# Python's side of merkle.pxi. Hashes are 32 bytes each, paths sequences of them, sizes and indexes below 2^64.

from native.errors import MerkleError


cdef bytes gb_joined(object hashes, str what):
    """A sequence of hashes in one piece."""
    cdef list items = [<bytes?>item for item in hashes]
    for item in items:
        if len(<bytes>item) != 32:
            raise MerkleError(f"{what}: every hash is 32 bytes")
    return b"".join(items)


cdef const u8* gb_one_hash(bytes value, str what) except NULL:
    if len(value) != 32:
        raise MerkleError(f"{what}: a hash is 32 bytes")
    return <const u8*><const char*>value


cdef u64 gb_position(object value) except? 0xFFFFFFFFFFFFFFFF:
    if not 0 <= value < 1 << 64:
        raise MerkleError("sizes and indexes are below 2^64 and not negative")
    return <u64>value


cdef bytes gb_rows_copy(object leaves):
    """A private copy of the leaves: it is overwritten."""
    cdef bytes joined = gb_joined(leaves, "leaves")
    if not joined:
        raise MerkleError("a tree has at least one leaf")
    return PyBytes_FromStringAndSize(<const char*>joined, len(joined))


cdef bytes gb_computed_root(bytes leaf, object size, object index, object path):
    cdef u8 out[32]
    cdef bytes nodes = gb_joined(path, "path")
    cdef int error = gb_root_from_path(
        gb_one_hash(leaf, "leaf"),
        gb_position(size),
        gb_position(index),
        <const u8*><const char*>nodes,
        <size_t>len(nodes) >> 5,
        out,
    )
    if error:
        raise MerkleError("size, index and path length do not belong together: give RFC 9162's path")
    return PyBytes_FromStringAndSize(<const char*>out, 32)


def root(leaves):
    """Root over leaf hashes, RFC 9162 2.1.1."""
    cdef u8 out[32]
    cdef bytes rows = gb_rows_copy(leaves)
    cdef u8* p = <u8*><char*>rows
    cdef u64 n = <u64>len(rows) >> 5
    with nogil:
        gb_merkle_root(p, n, out)
    return PyBytes_FromStringAndSize(<const char*>out, 32)


def path(leaves, index):
    """Inclusion path of a leaf, from the leaf upwards, RFC 9162 2.1.3.1."""
    cdef bytes rows = gb_rows_copy(leaves)
    cdef u8* p = <u8*><char*>rows
    cdef u64 n = <u64>len(rows) >> 5
    cdef u64 at = gb_position(index)
    cdef list nodes = []
    if at >= n:
        raise MerkleError("there is no such leaf")
    while n > 1:
        if at ^ 1 < n:
            nodes.append(PyBytes_FromStringAndSize(<const char*>(p + (at ^ 1) * 32), 32))
        n = gb_merkle_level(p, n)
        at >>= 1
    return nodes


def root_from_path(bytes leaf not None, size, index, path):
    """Root that a leaf and its path give, RFC 9162 2.1.3.2; MerkleError when the path has another length."""
    return gb_computed_root(leaf, size, index, path)


def verify_inclusion(bytes leaf not None, size, index, path, bytes root not None):
    """Raises MerkleError unless the leaf stands at index in the tree of that size and root."""
    if gb_computed_root(leaf, size, index, path) != root:
        raise MerkleError("the path leads to another root")


def verify_subtree_inclusion(bytes leaf not None, start, end, index, path, bytes root not None):
    """Raises MerkleError unless the leaf at index of the whole tree lies in the subtree [start, end) of that root."""
    cdef u64 first = gb_position(start), last = gb_position(end), at = gb_position(index)
    if not gb_is_subtree(first, last) or not first <= at < last:
        raise MerkleError("not a subtree, or the index is outside it")
    verify_inclusion(leaf, last - first, at - first, path, root)


def verify_subtree_consistency(start, end, size, bytes subtree_root not None, bytes root not None, path):
    """Raises MerkleError unless the subtree [start, end) of that hash lies in the tree of that size and root."""
    cdef bytes nodes = gb_joined(path, "path")
    cdef int error = gb_verify_consistency(
        gb_position(start),
        gb_position(end),
        gb_position(size),
        gb_one_hash(subtree_root, "subtree root"),
        gb_one_hash(root, "root"),
        <const u8*><const char*>nodes,
        <size_t>len(nodes) >> 5,
    )
    if error:
        raise MerkleError("the proof does not join these two trees")


def verify_consistency(size1, size2, bytes root1 not None, bytes root2 not None, path):
    """Raises MerkleError unless (size1, root1) is a prefix of (size2, root2), RFC 9162 2.1.4.2. Size 0 is refused."""
    verify_subtree_consistency(0, size1, size2, root1, root2, path)
