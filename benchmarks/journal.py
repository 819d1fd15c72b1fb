"""How many records each group commit of a gate held, read from its journal (docs/formats.md, "Journal").

Only record heads are looked at: length u32 | crc u32 | sequence u64 | kind u8, 52 bytes with the chain, little endian,
behind a segment header of 128 bytes; zeros follow the last record. Counting goes on where it stopped.
"""

import struct
from pathlib import Path

__all__ = ["CommitCounter"]

_SEGMENT_HEAD = 128
_HEAD = struct.Struct("<IIQB3x32s")
_LEAVES = (1, 2)
_COMMIT = 16


class CommitCounter:
    """Counts intents and outcomes (the leaves of commits), and commits."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._offsets: dict[Path, int] = {}
        self._leaves = 0
        self._commits = 0

    def counts(self) -> tuple[int, int]:
        """Leaves and commits since the journal began."""
        for segment in sorted(self._directory.glob("journal-*.seg")):
            self._offsets[segment] = self._read(segment, self._offsets.get(segment, _SEGMENT_HEAD))
        return self._leaves, self._commits

    def _read(self, segment: Path, offset: int) -> int:
        with segment.open("rb") as file:
            file.seek(offset)
            data = file.read()
        at = 0
        while at + _HEAD.size <= len(data):
            length, _, _, kind, _ = _HEAD.unpack_from(data, at)
            if kind == 0:
                break
            self._leaves += kind in _LEAVES
            self._commits += kind == _COMMIT
            at += _HEAD.size + length
        return offset + at
