"""RFC 9162 trees: every size of a batch, every leaf, and no proof of another form."""

import hashlib
import random
from types import ModuleType
from typing import Any

import pytest

from native import _merkle_py as twin
from native import merkle as fast
from native.errors import MerkleError

both = pytest.mark.parametrize("module", [fast, twin], ids=["fast", "twin"])
LEAVES = [hashlib.sha256(n.to_bytes(2, "big")).digest() for n in range(1030)]
ROOTS = {n: twin.root(LEAVES[:n]) for n in (1, 2, 3, 7, 8, 9, 100, 1000, 1023, 1024)}


@both
def test_fixed_roots(module: ModuleType) -> None:
    # RFC 9162 2.1.1 by hand: the root of three is node(node(a, b), c).
    a, b, c = LEAVES[:3]
    ab = hashlib.sha256(b"\x01" + a + b).digest()
    assert module.root([a]) == a
    assert module.root([a, b]) == ab
    assert module.root([a, b, c]) == hashlib.sha256(b"\x01" + ab + c).digest()
    assert module.path([a, b, c], 2) == [ab]
    assert module.path([a, b, c], 1) == [a, c]
    assert module.path([a], 0) == []


def test_every_size_to_1024_gives_both_the_same_root() -> None:
    for size in [*range(1, 70), *range(120, 136), 255, 256, 257, 511, 512, 513, 1023, 1024, 1025]:
        assert fast.root(LEAVES[:size]) == twin.root(LEAVES[:size])


def test_every_leaf_of_every_small_tree_is_proved() -> None:
    for size in range(1, 40):
        leaves = LEAVES[:size]
        root = fast.root(leaves)
        for index in range(size):
            path = fast.path(leaves, index)
            assert path == twin.path(leaves, index)
            fast.verify_inclusion(leaves[index], size, index, path, root)
            twin.verify_inclusion(leaves[index], size, index, path, root)


@both
@pytest.mark.parametrize("size", sorted(ROOTS))
def test_leaves_of_large_trees_are_proved(module: ModuleType, size: int) -> None:
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        path = module.path(LEAVES[:size], index)
        assert len(path) <= 10
        module.verify_inclusion(LEAVES[index], size, index, path, ROOTS[size])


@both
def test_a_path_of_another_length_is_refused(module: ModuleType) -> None:
    for size in (1, 2, 3, 5, 8, 13, 1024):
        for index in {0, size // 2, size - 1}:
            path = fast.path(LEAVES[:size], index)
            wrong = [[*path, LEAVES[0]], [LEAVES[0], *path], path * 2 or [LEAVES[0]]]
            wrong += [path[1:], path[:-1]] if path else []
            for each in wrong:
                with pytest.raises(MerkleError):
                    module.root_from_path(LEAVES[index], size, index, each)


@both
def test_a_path_proves_its_own_leaf_at_its_own_index_only(module: ModuleType) -> None:
    for size in (2, 3, 8, 11):
        root = fast.root(LEAVES[:size])
        for index in range(size):
            path = fast.path(LEAVES[:size], index)
            for other in set(range(size)) - {index}:
                with pytest.raises(MerkleError):
                    module.verify_inclusion(LEAVES[other], size, index, path, root)
                with pytest.raises(MerkleError):
                    module.verify_inclusion(LEAVES[index], size, other, path, root)


@both
@pytest.mark.parametrize(
    ("size", "index"), [(0, 0), (1, 1), (5, 5), (5, 2**64 - 1), (5, -1), (-1, 0), (2**64, 0), (2**70, 2**69)]
)
def test_places_that_do_not_exist_are_refused(module: ModuleType, size: int, index: int) -> None:
    with pytest.raises(MerkleError):
        module.root_from_path(LEAVES[0], size, index, [])


@both
def test_hashes_of_another_length_are_refused(module: ModuleType) -> None:
    a, b = LEAVES[:2]
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("root", ([a, b[:31]],)),
        ("root", ([],)),
        ("path", ([a + b], 0)),
        ("path", ([a, b], 2)),
        ("root_from_path", (a + b"\0", 1, 0, [])),
        ("root_from_path", (a, 2, 0, [b"\0", b[:31]])),
        ("root_from_path", (a, 1, 0, [b""])),
        ("verify_consistency", (1, 2, a, b[:31], [b])),
        ("verify_consistency", (1, 2, a[:31], b, [b])),
    ]
    for name, arguments in calls:
        with pytest.raises(MerkleError):
            getattr(module, name)(*arguments)


@both
def test_the_largest_tree_there_can_be(module: ModuleType) -> None:
    size = 2**64 - 1
    for index in (0, size - 1, 2**63, 2**63 - 1):
        nodes = next(n for n in range(66) if proves(module, size, index, n))
        assert nodes <= 64


def proves(module: ModuleType, size: int, index: int, nodes: int) -> bool:
    try:
        return len(module.root_from_path(LEAVES[0], size, index, LEAVES[:nodes])) == 32
    except MerkleError:
        return False


def subproof(leaves: list[bytes], start: int, end: int, whole: bool = True) -> list[bytes]:
    """SUBTREE_SUBPROOF of draft-ietf-plants-merkle-tree-certs; with start 0, SUBPROOF of RFC 9162 2.1.4.1."""
    if (start, end) == (0, len(leaves)):
        return [] if whole else [twin.root(leaves)]
    k = twin.split(len(leaves))
    if end <= k:
        return [*subproof(leaves[:k], start, end, whole), twin.root(leaves[k:])]
    if start >= k:
        return [*subproof(leaves[k:], start - k, end - k, whole), twin.root(leaves[:k])]
    return [*subproof(leaves[k:], 0, end - k, False), twin.root(leaves[:k])]


SUBTREES = [(s, e, n) for n in range(1, 20) for s in range(n) for e in range(s + 1, n + 1)]


@both
def test_every_subtree_of_every_small_tree_is_proved_and_nothing_else(module: ModuleType) -> None:
    for start, end, size in SUBTREES:
        part, root = twin.root(LEAVES[start:end]), twin.root(LEAVES[:size])
        width = 1 << (end - start - 1).bit_length()
        if start % width:
            with pytest.raises(MerkleError):
                module.verify_subtree_consistency(start, end, size, part, root, [])
            continue
        proof = subproof(LEAVES[:size], start, end)
        module.verify_subtree_consistency(start, end, size, part, root, proof)
        index = (start + end) // 2
        path = twin.path(LEAVES[start:end], index - start)
        module.verify_subtree_inclusion(LEAVES[index], start, end, index, path, part)
        wrong = [(part, LEAVES[-1], proof), (LEAVES[-1], root, proof), (part, root, [*proof, LEAVES[0]])]
        wrong += [(part, root, proof[1:]), (part, root, proof[:-1])] if proof else []
        for each in wrong:
            with pytest.raises(MerkleError):
                module.verify_subtree_consistency(start, end, size, *each)


@both
def test_consistency_from_nothing_proves_nothing(module: ModuleType) -> None:
    for size1, size2 in [(0, 0), (0, 1), (1, 0), (3, 2)]:
        with pytest.raises(MerkleError):
            module.verify_consistency(size1, size2, LEAVES[0], LEAVES[0], [])


def test_random_proofs_give_both_the_same_outcome() -> None:
    chance = random.Random("govbus merkle")
    for _ in range(4000):
        size, nodes = chance.choice([chance.randint(0, 20), chance.randint(0, 2**64)]), chance.randint(0, 6)
        start, end = chance.choice([0, 0, 4, 8]), chance.randint(0, 24)
        proof = [chance.choice(LEAVES[:4]) for _ in range(nodes)]
        for name, arguments in [
            ("root_from_path", (LEAVES[0], size, chance.randint(0, 20), proof)),
            ("verify_subtree_consistency", (start, end, size, LEAVES[0], LEAVES[1], proof)),
            ("verify_subtree_consistency", (start, end, end, LEAVES[0], LEAVES[0], proof)),
        ]:
            assert outcome(fast, name, arguments) == outcome(twin, name, arguments), (name, arguments)


def outcome(module: ModuleType, name: str, arguments: tuple[object, ...]) -> object:
    try:
        return getattr(module, name)(*arguments)
    except MerkleError:
        return "refused"
