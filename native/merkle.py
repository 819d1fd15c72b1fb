"""RFC 9162 Merkle trees over leaf hashes: roots, paths, inclusion and consistency, whole trees and subtrees.

Leaves are hashes already (native.digest.leaf_hash). A proof has exactly the length that the sizes require, else it is
refused. Subtree proofs follow draft-ietf-plants-merkle-tree-certs. The readable definition is native._merkle_py.
"""

from native._fast import (
    path,
    root,
    root_from_path,
    verify_consistency,
    verify_inclusion,
    verify_subtree_consistency,
    verify_subtree_inclusion,
)
from native.errors import MerkleError

__all__ = [
    "MerkleError",
    "path",
    "root",
    "root_from_path",
    "verify_consistency",
    "verify_inclusion",
    "verify_subtree_consistency",
    "verify_subtree_inclusion",
]
