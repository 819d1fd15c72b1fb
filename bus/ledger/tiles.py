"""Names of tiles: C2SP tlog-tiles. Pure.

A tile of level L holds up to 256 hashes of complete subtrees of 256^L leaves; a bundle holds the entries of the level 0
tile of the same number. A path is `tile/<level or entries>/<number>[.p/<width>]`, the number in zero-padded groups of
three digits, all but the last behind an `x`.
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["ENTRIES", "WIDTH", "Tile", "tile_at"]

WIDTH: Final = 256
ENTRIES: Final = -1
"""The level of bundles."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One resource; `width` 1 to 256, 256 is full."""

    level: int
    number: int
    width: int

    @property
    def path(self) -> str:
        groups = [self.number % 1000]
        rest = self.number // 1000
        while rest:
            groups.insert(0, rest % 1000)
            rest //= 1000
        *front, last = groups
        level = "entries" if self.level == ENTRIES else str(self.level)
        name = "/".join([f"tile/{level}", *(f"x{group:03d}" for group in front), f"{last:03d}"])
        return name if self.width == WIDTH else f"{name}.p/{self.width}"

    @property
    def full(self) -> "Tile":
        """The tile that this one becomes."""
        return Tile(self.level, self.number, WIDTH)


def tile_at(level: int, number: int, size: int) -> Tile:
    """The tile as it stands in a tree of `size` leaves; ValueError if that tree has none there."""
    width = (size >> 8 * max(level, 0)) - WIDTH * number
    if width <= 0:
        raise ValueError("the tree is too small for that tile")
    return Tile(level, number, min(width, WIDTH))
