"""Where entries come from. A source is read from a position that the ledger keeps together with its tree, so that every
statement becomes an entry exactly once, in its source's order, whatever crashes in between."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from bus.ledger.head import Position

__all__ = ["Portion", "Source", "SourceRefused", "SourceUnavailable"]


class SourceUnavailable(Exception):
    """It cannot be read now; nothing is wrong with what it says. Asked again later."""


class SourceRefused(Exception):
    """What it says cannot be true beside what it said before. `evidence` are the bytes that show it, by name."""

    def __init__(self, text: str, evidence: Mapping[str, bytes]) -> None:
        super().__init__(text)
        self.evidence = dict(evidence)


@dataclass(frozen=True, slots=True)
class Portion:
    """The next entries, and the position behind them. `complete`: nothing that the source had said when it was read is
    missing. `more`: reading again at once gives more."""

    entries: tuple[bytes, ...]
    position: Position
    complete: bool
    more: bool = False


class Source(Protocol):
    """One origin of entries; read by one thread at a time."""

    @property
    def name(self) -> str:
        """Its name in the ledger's head; never changed, never given to another."""

    def read(self, position: Position | None) -> Portion:
        """A portion behind `position` (None: from the beginning), verified. What it tells of must be on the disk, so
        that it cannot be unsaid by a power cut. Reading the same position again gives the same entries, or more.
        SourceUnavailable, SourceRefused."""
