"""What a journal takes of the disk, and how long the rest lasts at the pace of the last day."""

import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["JournalUse", "journal_use"]

_DAY_S = 86_400.0
_SHORTEST_S = 60.0


@dataclass(frozen=True, slots=True)
class JournalUse:
    """Of one journal directory. Segments have a fixed size, reserved before they are written."""

    files: int
    bytes: int
    bytes_a_day: int
    """Reserved within the last day, or since the journal began, told for a day; 0 for nothing but the first ones."""

    def days_left(self, free_bytes: int) -> int | None:
        """Whole days until the disk is full if nothing changes; None while the journal does not grow."""
        return free_bytes // self.bytes_a_day if self.bytes_a_day else None


def journal_use(directory: Path) -> JournalUse:
    """Look; zeros where no journal is."""
    found = sorted(directory.glob("*.seg")) if directory.is_dir() else []
    stats = [path.lstat() for path in found]  # a link may lead anywhere, or nowhere
    written = sorted(one.st_mtime for path, one in zip(found, stats, strict=True) if path.name.startswith("journal-"))
    now = time.time()
    recent = [one for one in written[:-1] if now - one < _DAY_S]  # finished ones: the newest is still being written
    pace = 0
    if recent:
        span = max(_SHORTEST_S, min(_DAY_S, now - recent[0]))
        pace = int(len(recent) * stats[0].st_size * _DAY_S / span)
    return JournalUse(len(found), sum(one.st_size for one in stats), pace)
