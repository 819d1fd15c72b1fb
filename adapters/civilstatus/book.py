"""The book of births on disk.

What it promises to the service above it:

1. `enter` is one transaction: number, notice and certificate are there together
   or not at all, and on disk before it returns.
2. A notice has at most one entry. Entering it again with the same content
   returns the certificate as first issued; with other content both methods
   raise NoticeConflict.
3. Numbers of a ward and year are 1, 2, 3 ... without a gap, in order of entry.

Certificates are kept as issued, as bytes the book does not look into. Methods
wait for the disk: call `enter` on a thread. `find` and `certificate` read a few
pages and may be called on the event loop.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BirthBook", "BirthEntry", "NoticeConflict"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS birth (
    ward TEXT NOT NULL, year INTEGER NOT NULL, serial INTEGER NOT NULL,
    notice TEXT NOT NULL UNIQUE,
    content BLOB NOT NULL,
    certificate BLOB NOT NULL,
    PRIMARY KEY (ward, year, serial)
) WITHOUT ROWID;
"""


class NoticeConflict(Exception):
    """The birth notice was entered before with other content."""


@dataclass(frozen=True, slots=True)
class BirthEntry:
    """What identifies a birth before it has a number."""

    notice: str
    content: bytes  # everything the client said, to tell a repetition from a contradiction
    ward: str  # code in the current list
    year: int  # of registration


class BirthBook:
    """One file; one connection to read, one to write, so that a reader never sees half a transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._writer = _connect(path)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(path)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def find(self, notice: str, content: bytes) -> bytes | None:
        """The certificate issued for a notice, None if there is none yet."""
        return _find(self._reader, notice, content)

    def certificate(self, number: str) -> bytes | None:
        """The certificate of a registration number (ward-year-serial), None if there is none."""
        ward, year, serial = number.split("-")
        row = self._reader.execute(
            "SELECT certificate FROM birth WHERE ward = ? AND year = ? AND serial = ?", (ward, int(year), int(serial))
        ).fetchone()
        return bytes(row[0]) if row else None

    def enter(self, entry: BirthEntry, issue: Callable[[str], bytes]) -> bytes:
        """Enter a birth; `issue` makes the certificate for the registration number it is given."""
        with self._lock, closing(self._writer.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                certificate = _find(cursor, entry.notice, entry.content) or _enter(cursor, entry, issue)
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
            return certificate


def _find(database: sqlite3.Cursor | sqlite3.Connection, notice: str, content: bytes) -> bytes | None:
    row = database.execute("SELECT content, certificate FROM birth WHERE notice = ?", (notice,)).fetchone()
    if row and row[0] != content:
        raise NoticeConflict
    return bytes(row[1]) if row else None


def _enter(cursor: sqlite3.Cursor, entry: BirthEntry, issue: Callable[[str], bytes]) -> bytes:
    (last,) = cursor.execute(
        "SELECT coalesce(max(serial), 0) FROM birth WHERE ward = ? AND year = ?", (entry.ward, entry.year)
    ).fetchone()
    serial = last + 1
    certificate = issue(f"{entry.ward}-{entry.year:04d}-{serial:06d}")
    cursor.execute(
        "INSERT INTO birth VALUES (?, ?, ?, ?, ?, ?)",
        (entry.ward, entry.year, serial, entry.notice, entry.content, certificate),
    )
    return certificate


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # an acknowledged registration survives power loss
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection
