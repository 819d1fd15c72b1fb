"""The Merkle tree over tiles: growing at its right edge, roots and proofs. RFC 9162 2.1, C2SP tlog-tiles.

An Edge is the compact state of a tree: of each level the hashes that do not fill a tile yet, at most 255. Appending
gives a new edge and the tiles that it needs on disk; a proof reads the few tiles on its way. Pure: who reads is given.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from bus.ledger.checkpoint import EMPTY_ROOT
from bus.ledger.tiles import ENTRIES, WIDTH, Tile, tile_at
from native.merkle import root as merkle_root

__all__ = ["ENTRY_BYTES", "Edge", "TileReader", "TreeDamaged", "TreeReader", "audited", "leaf_of"]

ENTRY_BYTES = 32
_PREFIX = ENTRY_BYTES.to_bytes(2, "big")

TileReader = Callable[[Tile], bytes]
"""The bytes of a tile; raises KeyError where it is missing."""


class TreeDamaged(Exception):
    """A stored tile is missing or is not what was written. `path` names it."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path} {text}; restore it from a copy of the ledger")
        self.path = path


def leaf_of(entry: bytes) -> bytes:
    """The leaf hash of a 32-byte entry (RFC 9162 2.1.1)."""
    return sha256(b"\0" + entry).digest()


def parse_bundle(data: bytes, tile: Tile) -> list[bytes]:
    """The entries of a bundle: u16 length and bytes each, all of 32 bytes here."""
    step = 2 + ENTRY_BYTES
    if len(data) != tile.width * step or any(data[at : at + 2] != _PREFIX for at in range(0, len(data), step)):
        raise TreeDamaged(tile.path, "is not a bundle of entries")
    return [data[at + 2 : at + step] for at in range(0, len(data), step)]


@dataclass(frozen=True, slots=True)
class Edge:
    """A tree of `size` leaves: unfilled hashes by level, and the entries behind those of level 0."""

    size: int = 0
    levels: tuple[tuple[bytes, ...], ...] = ()
    entries: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        """The tree's root."""
        # Of each level the complete subtrees, then what is left over below them: it always goes last, because it is the
        # smallest, and RFC 9162's split counts it as one more.
        rest: list[bytes] = []
        for level in self.levels:
            below = [*level, *rest]
            rest = [merkle_root(below)] if below else []
        return rest[0] if rest else EMPTY_ROOT

    def append(self, entries: Sequence[bytes]) -> tuple["Edge", dict[Tile, bytes]]:
        """The tree with `entries` behind it, and every tile and bundle that it has and this one has not."""
        if any(len(entry) != ENTRY_BYTES for entry in entries):
            raise ValueError("an entry is 32 bytes")
        written: dict[Tile, bytes] = {}
        bundles = (*self.entries, *entries)
        kept = _write(written, ENTRIES, self.size // WIDTH, [_PREFIX + entry for entry in bundles])
        levels: list[tuple[bytes, ...]] = []
        fresh = [leaf_of(entry) for entry in entries]
        level = 0
        while fresh or level < len(self.levels):
            held = self.levels[level] if level < len(self.levels) else ()
            row = (*held, *fresh)
            filled = len(row) // WIDTH
            if fresh:
                _write(written, level, (self.size >> 8 * level) // WIDTH, row)
            fresh = [merkle_root(row[at * WIDTH : (at + 1) * WIDTH]) for at in range(filled)]
            levels.append(row[filled * WIDTH :])
            level += 1
        size = self.size + len(entries)
        return Edge(size, tuple(levels), bundles[len(bundles) - kept :]), written


def _write(written: dict[Tile, bytes], level: int, number: int, row: Sequence[bytes]) -> int:
    """Cut a row into tiles from tile `number` on; how many are left in the last, unfilled one."""
    for at in range(0, len(row), WIDTH):
        part = row[at : at + WIDTH]
        written[Tile(level, number + at // WIDTH, len(part))] = b"".join(part)
    return len(row) % WIDTH


class TreeReader:
    """Roots and proofs of a tree of `size` leaves out of its tiles; each tile is read once."""

    def __init__(self, size: int, read: TileReader) -> None:
        self._size = size
        self._read = read
        self._rows: dict[tuple[int, int], list[bytes]] = {}

    def root(self, size: int | None = None) -> bytes:
        """Of the tree, or of its first `size` leaves."""
        size = self._size if size is None else size
        if not 0 <= size <= self._size:
            raise ValueError("the tree is not that large")
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """RFC 9162 2.1.3.1: the path of a leaf in the first `size` leaves."""
        size = self._size if size is None else size
        if not 0 <= index < size <= self._size:
            raise ValueError("there is no such leaf in a tree of that size")
        return self._path(index, 0, size)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """RFC 9162 2.1.4.1: that the first `first` leaves are those of the first `second` ones."""
        if not 0 < first <= second <= self._size:
            raise ValueError("sizes are 1 to the tree's, the smaller first")
        return self._subproof(first, 0, second, whole=True)

    def edge(self) -> Edge:
        """The compact state. Says nothing of tiles that are full."""
        levels: list[tuple[bytes, ...]] = []
        level = 0
        while self._size >> 8 * level:
            number, width = divmod(self._size >> 8 * level, WIDTH)
            levels.append(tuple(self.row(level, number)) if width else ())
            level += 1
        number, width = divmod(self._size, WIDTH)
        return Edge(self._size, tuple(levels), tuple(self.entries(number)) if width else ())

    def row(self, level: int, number: int) -> list[bytes]:
        """The hashes of a tile."""
        key = level, number
        if key not in self._rows:
            tile = tile_at(level, number, self._size)
            data = self._bytes(tile)
            if len(data) != tile.width * 32:
                raise TreeDamaged(tile.path, "has another length than its width")
            self._rows[key] = [data[at : at + 32] for at in range(0, len(data), 32)]
        return self._rows[key]

    def entries(self, number: int) -> list[bytes]:
        """The entries of a bundle, held to the level 0 tile beside them."""
        tile = tile_at(ENTRIES, number, self._size)
        found = parse_bundle(self._bytes(tile), tile)
        if [leaf_of(entry) for entry in found] != self.row(0, number):
            raise TreeDamaged(tile.path, "does not hash to the tile of level 0 beside it")
        return found

    def verify_full(self, level: int, number: int) -> None:
        """TreeDamaged unless a full tile hashes to what the level above says of it."""
        stated = self.row(level + 1, number // WIDTH)[number % WIDTH]
        if merkle_root(self.row(level, number)) != stated:
            raise TreeDamaged(tile_at(level, number, self._size).path, "does not hash to the tile above it")
        self._rows.pop((level, number))

    def _bytes(self, tile: Tile) -> bytes:
        try:
            return self._read(tile)
        except KeyError as error:
            raise TreeDamaged(tile.path, "is missing") from error

    def _complete(self, start: int, height: int) -> bytes:
        """Hash of the complete subtree of 2^height leaves at `start`."""
        level, inside = divmod(height, 8)
        number, at = divmod(start >> 8 * level, WIDTH)
        return merkle_root(self.row(level, number)[at : at + (1 << inside)])

    def _range(self, start: int, end: int) -> bytes:
        """MTH(D[start:end]); start is where such a subtree begins."""
        count = end - start
        if count & (count - 1) == 0:
            return self._complete(start, count.bit_length() - 1)
        middle = start + _split(count)
        return merkle_root([self._range(start, middle), self._range(middle, end)])

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._range(middle, end)]
        return [*self._path(index, middle, end), self._range(start, middle)]

    def _subproof(self, first: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if first == end:
            return [] if whole else [self._range(start, end)]
        middle = start + _split(end - start)
        if first <= middle:
            return [*self._subproof(first, start, middle, whole=whole), self._range(middle, end)]
        return [*self._subproof(first, middle, end, whole=False), self._range(start, middle)]


def _split(count: int) -> int:
    """The largest power of two smaller than count, which is above 1."""
    return 1 << (count - 1).bit_length() - 1


def audited(size: int, read: TileReader) -> Iterable[list[bytes]]:
    """Every bundle's entries in order, all tiles of all levels held to those above; TreeDamaged at the first bad one.

    Reads the whole tree once. That its root is a checkpoint's is the caller's check (`TreeReader.root`).
    """
    reader = TreeReader(size, read)
    level = 1
    while size >> 8 * level:
        for number in range(size >> 8 * level):
            reader.verify_full(level - 1, number)
        level += 1
    for number in range(-(-size // WIDTH)):
        yield reader.entries(number)
        reader._rows.pop((0, number))  # a long tree does not stay in memory
