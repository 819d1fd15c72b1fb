"""How far a journal reaches: the sequence of its newest record, found by walking the records' heads.

For telling how much the ledger has not integrated yet; nothing is verified here, and nothing is decided by it. A look
goes on where the one before ended, so it costs what was written in between.
"""

import os
import struct
from pathlib import Path
from typing import Final

from bus.ledger.journal_segment import HEAD_BYTES
from native.journal import open_segment, segment_name, segment_numbers

__all__ = ["JournalTail"]

_HEAD: Final = struct.Struct("<I4xQ")  # length of the payload, crc, sequence (docs/formats.md, "Journal")
_RECORD_HEAD: Final = 52
_WINDOW: Final = 1 << 20


class JournalTail:
    """One journal directory; used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segment, self._offset, self._sequence = 0, HEAD_BYTES, 0

    @property
    def segment(self) -> int:
        """Where the last look ended: the newest segment, 0 for none."""
        return self._segment

    @property
    def offset(self) -> int:
        """And behind which byte of it."""
        return self._offset

    def newest(self) -> int:
        """The highest sequence that is written; 0 while there is none. OSError when it cannot be read."""
        segment = max(segment_numbers(self._directory), default=0)
        if segment == 0:
            return 0
        if segment != self._segment:
            self._segment, self._offset, self._sequence = segment, HEAD_BYTES, segment - 1
        descriptor = open_segment(self._directory, segment_name(segment))
        try:
            while self._walk(os.pread(descriptor, _WINDOW, self._offset)):
                pass
        finally:
            os.close(descriptor)
        return self._sequence

    def _walk(self, window: bytes) -> bool:
        """Over the whole records at the beginning of `window`; whether the next window may hold more."""
        at = 0
        while at + _HEAD.size <= len(window):
            length, sequence = _HEAD.unpack_from(window, at)
            if sequence != self._sequence + 1:
                self._offset += at
                return False
            self._sequence = sequence
            at += _RECORD_HEAD + length
        self._offset += at
        return len(window) == _WINDOW
