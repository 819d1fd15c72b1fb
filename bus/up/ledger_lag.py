"""How many bytes of an instance's journals are not in its ledger yet, looked up in the files of both.

The supervisor's own look: it tells the more the longer the ledger's process is away. Nothing is verified here. What a
full segment has behind its last record counts too (less than a group), since only the newest segment is walked.
"""

from collections.abc import Iterable

from bus.ledger.head import HeadInvalid, Position, parse_head
from bus.ledger.journal_segment import HEAD_BYTES
from bus.ledger.journal_tail import JournalTail
from bus.up.layout import Facts, Layout
from native.journal import segment_name, segment_numbers

__all__ = ["LedgerLag"]


class LedgerLag:
    """Keeps how far each journal was walked; used by one thread at a time."""

    def __init__(self, layout: Layout, facts: Facts) -> None:
        self._layout, self._facts = layout, facts
        self._tails: dict[str, JournalTail] = {}

    def bytes_behind(self, brokers: Iterable[str]) -> int | None:
        """Over the journals of these brokers, by path; None where the ledger says nothing, or not what was written."""
        try:
            positions = parse_head((self._layout.ledger / "head").read_bytes()).sources
        except (OSError, HeadInvalid):
            return None
        return sum(self._behind(path, positions.get(self._source(path))) for path in brokers)

    def _source(self, path: str) -> str:
        return f"journal {self._layout.identity(self._facts, path).spiffe_id}"

    def _behind(self, path: str, position: Position | None) -> int:
        directory = self._layout.broker_home(path) / "journal"
        tail = self._tails.setdefault(path, JournalTail(directory))
        try:
            tail.newest()
            segments = sorted(segment_numbers(directory))
            begin = int(position["segment"]) if position else min(segments, default=0)
            sizes = {one: (directory / segment_name(one)).stat().st_size for one in segments if one >= begin}
        except (OSError, ValueError, KeyError):
            return 0
        if not sizes:
            return 0
        ends = sizes | {tail.segment: tail.offset}
        whole = sum(end - HEAD_BYTES for one, end in ends.items() if one in sizes)
        return max(0, whole - (int(position["offset"]) - HEAD_BYTES if position else 0))
