"""The tree over tiles is RFC 9162's tree: roots and proofs against the definition, names against tlog-tiles."""

import itertools
import random

import pytest

from bus.ledger.checkpoint import EMPTY_ROOT
from bus.ledger.tiles import ENTRIES, Tile, tile_at
from bus.ledger.tree import Edge, TreeDamaged, TreeReader, audited, leaf_of
from native import _merkle_py as definition
from native.merkle import verify_consistency, verify_inclusion
from tests.bus.ledger.support import entries, grown

SIZES = [1, 2, 3, 7, 255, 256, 257, 511, 512, 513, 700, 1000]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0, 256), "tile/0/000"),
        (Tile(0, 0, 1), "tile/0/000.p/1"),
        (Tile(0, 999, 256), "tile/0/999"),
        (Tile(0, 1000, 256), "tile/0/x001/000"),
        (Tile(3, 1_234_067, 256), "tile/3/x001/x234/067"),
        (Tile(63, 1_234_067_890, 255), "tile/63/x001/x234/x067/890.p/255"),
        (Tile(ENTRIES, 273, 112), "tile/entries/273.p/112"),
    ],
)
def test_a_tile_is_named_as_tlog_tiles_says(tile: Tile, path: str) -> None:
    assert tile.path == path


def test_a_tree_of_70000_has_the_tiles_that_the_specification_counts() -> None:
    assert tile_at(0, 272, 70_000).width == 256
    assert tile_at(0, 273, 70_000).width == 112
    assert tile_at(1, 0, 70_000).width == 256
    assert tile_at(1, 1, 70_000).width == 17
    assert tile_at(2, 0, 70_000).width == 1
    with pytest.raises(ValueError, match="too small"):
        tile_at(3, 0, 70_000)


def test_roots_and_edges_are_those_of_the_definition() -> None:
    several = entries(1000, seed=2)
    leaves = [leaf_of(one) for one in several]
    for size in SIZES:
        edge, tiles = grown(several[:size])
        reader = TreeReader(size, tiles.__getitem__)
        assert edge.root == reader.root() == definition.root(leaves[:size])
        assert reader.edge() == edge


def test_however_it_grew_it_is_the_same_tree() -> None:
    several, source = entries(1500, seed=3), random.Random(3)
    whole, tiles = grown(several)
    for _ in range(5):
        cuts = sorted({0, len(several), *(source.randrange(1500) for _ in range(6))})
        edge, pieces = grown(*(several[a:b] for a, b in itertools.pairwise(cuts)))
        assert edge == whole
        assert tiles.items() <= pieces.items()


def test_two_levels_of_tiles_hold_together() -> None:
    size = 65_536 + 300
    edge, tiles = grown(entries(size, seed=4))
    assert tiles[Tile(2, 0, 1)] == definition.root([leaf_of(one) for one in entries(65_536, seed=4)])
    reader = TreeReader(size, tiles.__getitem__)
    assert reader.root() == edge.root
    for index in (0, 65_535, 65_536, size - 1):
        verify_inclusion(leaf_of(entries(size, seed=4)[index]), size, index, reader.inclusion(index), edge.root)
    for first in (1, 256, 65_536, size - 1):
        verify_consistency(first, size, reader.root(first), edge.root, reader.consistency(first, size))
    assert sum(map(len, audited(size, tiles.__getitem__))) == size


def test_every_proof_of_small_trees_is_the_definitions() -> None:
    several = entries(20, seed=5)
    leaves = [leaf_of(one) for one in several]
    _, tiles = grown(*([one] for one in several))  # one by one: every partial tile was published once
    reader = TreeReader(20, tiles.__getitem__)
    for size in range(1, 21):
        for index in range(size):
            assert reader.inclusion(index, size) == definition.path(leaves[:size], index)
        for first in range(1, size + 1):
            path = reader.consistency(first, size)
            definition.verify_consistency(
                first, size, definition.root(leaves[:first]), definition.root(leaves[:size]), path
            )


def test_proofs_across_tiles_verify() -> None:
    several, source = entries(1000, seed=6), random.Random(6)
    _, tiles = grown(several)
    reader = TreeReader(1000, tiles.__getitem__)
    for _ in range(50):
        second = source.randrange(1, 1001)
        first, index = source.randrange(1, second + 1), source.randrange(second)
        verify_inclusion(leaf_of(several[index]), second, index, reader.inclusion(index, second), reader.root(second))
        verify_consistency(first, second, reader.root(first), reader.root(second), reader.consistency(first, second))


def test_an_empty_tree_has_the_empty_root_and_no_proofs() -> None:
    reader = TreeReader(0, dict[Tile, bytes]().__getitem__)
    assert Edge().root == reader.root() == EMPTY_ROOT
    with pytest.raises(ValueError, match="no such leaf"):
        reader.inclusion(0)
    with pytest.raises(ValueError, match="sizes"):
        reader.consistency(0, 0)


def test_an_audit_finds_every_flipped_bit() -> None:
    _, tiles = grown(entries(600, seed=7))
    source = random.Random(7)
    needed = [tile for tile in tiles if tile.level < 1]
    for tile in needed:
        changed = bytearray(tiles[tile])
        changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
        with pytest.raises(TreeDamaged):
            list(audited(600, {**tiles, tile: bytes(changed)}.__getitem__))


@pytest.mark.parametrize("cut", [1, 31, 32, 34])
def test_a_truncated_tile_is_noticed(cut: int) -> None:
    _, tiles = grown(entries(600, seed=8))
    for tile in (Tile(0, 2, 88), Tile(0, 0, 256), Tile(1, 0, 2)):
        with pytest.raises(TreeDamaged):
            list(audited(600, {**tiles, tile: tiles[tile][:-cut]}.__getitem__))


def test_an_entry_is_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Edge().append([b"short"])
