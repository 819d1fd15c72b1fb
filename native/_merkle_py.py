"""The readable twin of native.merkle: the recursive definitions of RFC 9162, section 2.1. Never used in production.

A path is read from its end: its last hash is the sibling of the highest split. Subtree proofs follow the recursive
definition of draft-ietf-plants-merkle-tree-certs. Recursion is as deep as the tree, at most 64.
"""

import hashlib
from collections.abc import Iterable, Sequence

from native.errors import MerkleError


def node(left: bytes, right: bytes) -> bytes:
    """2.1.1: an inner node is hashed behind a one byte."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """The largest power of two smaller than size, which is above 1."""
    return 1 << (size - 1).bit_length() - 1


def hashes(items: Iterable[bytes]) -> list[bytes]:
    """The items, each 32 bytes."""
    checked = list(items)
    if any(len(item) != 32 for item in checked):
        raise MerkleError("every hash is 32 bytes")
    return checked


def positions(*values: int) -> None:
    """Refuses what does not fit 64 bits."""
    if not all(0 <= value < 1 << 64 for value in values):
        raise MerkleError("sizes and indexes are below 2^64 and not negative")


def leaves_of(items: Iterable[bytes]) -> list[bytes]:
    """Leaves of a tree that is not empty."""
    leaves = hashes(items)
    if not leaves:
        raise MerkleError("a tree has at least one leaf")
    return leaves


def root(leaves: Iterable[bytes]) -> bytes:
    """2.1.1."""
    return tree_hash(leaves_of(leaves))


def tree_hash(leaves: list[bytes]) -> bytes:
    """MTH."""
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node(tree_hash(leaves[:k]), tree_hash(leaves[k:]))


def path(leaves: Iterable[bytes], index: int) -> list[bytes]:
    """2.1.3.1."""
    checked = leaves_of(leaves)
    positions(index)
    if index >= len(checked):
        raise MerkleError("there is no such leaf")
    return path_in(checked, index)


def path_in(leaves: list[bytes], index: int) -> list[bytes]:
    """PATH."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if index < k:
        return [*path_in(leaves[:k], index), tree_hash(leaves[k:])]
    return [*path_in(leaves[k:], index - k), tree_hash(leaves[:k])]


def root_from_path(leaf: bytes, size: int, index: int, path: Sequence[bytes]) -> bytes:
    """2.1.3.2, read backwards from the definition of PATH."""
    hashes([leaf])
    positions(size, index)
    if index >= size:
        raise MerkleError("there is no such leaf")
    return climb(leaf, size, index, hashes(path))


def climb(leaf: bytes, size: int, index: int, path: list[bytes]) -> bytes:
    """The root that leaf and path give."""
    if size == 1:
        if path:
            raise MerkleError("the path is too long")
        return leaf
    if not path:
        raise MerkleError("the path is too short")
    k = split(size)
    if index < k:
        return node(climb(leaf, k, index, path[:-1]), path[-1])
    return node(path[-1], climb(leaf, size - k, index - k, path[:-1]))


def verify_inclusion(leaf: bytes, size: int, index: int, path: Sequence[bytes], root: bytes) -> None:
    """Raises MerkleError unless the leaf stands at index in the tree of that size and root."""
    if root_from_path(leaf, size, index, path) != root:
        raise MerkleError("the path leads to another root")


def check_subtree(start: int, end: int) -> None:
    """[start, end) is not empty and start is a multiple of the least power of two that is >= end - start."""
    positions(start, end)
    if start >= end or start % (1 << (end - start - 1).bit_length()):
        raise MerkleError("not a subtree")


def verify_subtree_inclusion(leaf: bytes, start: int, end: int, index: int, path: Sequence[bytes], root: bytes) -> None:
    """Raises MerkleError unless the leaf at index of the whole tree lies in the subtree [start, end) of that root."""
    check_subtree(start, end)
    if not start <= index < end:
        raise MerkleError("the index is outside the subtree")
    verify_inclusion(leaf, end - start, index - start, path, root)


def verify_subtree_consistency(
    start: int, end: int, size: int, subtree_root: bytes, root: bytes, path: Sequence[bytes]
) -> None:
    """Raises MerkleError unless the subtree [start, end) of that hash lies in the tree of that size and root."""
    check_subtree(start, end)
    positions(size)
    hashes([subtree_root, root])
    if end > size:
        raise MerkleError("the subtree is not in the tree")
    if join(start, end, size, subtree_root, hashes(path)) != (subtree_root, root):
        raise MerkleError("the proof does not join these two trees")


def join(start: int, end: int, size: int, known: bytes | None, path: list[bytes]) -> tuple[bytes, bytes]:
    """Hashes of subtree and tree that a SUBTREE_SUBPROOF gives; `known` while the subtree is whole."""
    if start == 0 and end == size and known is not None:
        if path:
            raise MerkleError("the proof is too long")
        return known, known
    if not path:
        raise MerkleError("the proof is too short")
    if start == 0 and end == size:
        if len(path) > 1:
            raise MerkleError("the proof is too long")
        return path[0], path[0]
    *rest, sibling = path
    k = split(size)
    if end <= k:
        part, whole = join(start, end, k, known, rest)
        return part, node(whole, sibling)
    if start >= k:
        part, whole = join(start - k, end - k, size - k, known, rest)
        return part, node(sibling, whole)
    part, whole = join(0, end - k, size - k, None, rest)
    return node(sibling, part), node(sibling, whole)


def verify_consistency(size1: int, size2: int, root1: bytes, root2: bytes, path: Sequence[bytes]) -> None:
    """2.1.4.2. Raises MerkleError unless (size1, root1) is a prefix of (size2, root2). Size 0 proves nothing."""
    verify_subtree_consistency(0, size1, size2, root1, root2, path)
