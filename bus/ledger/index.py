"""entry -> index, in SQLite: made from the bundles, so that losing it loses nothing.

It is written after the head; a crash leaves it behind, never wrong, and `catch_up` brings it up. An entry that stands
in the tree twice keeps its first place. KNOWN: keys arrive in random order, so beyond some hundred million entries,
when the table is larger than memory, each insert costs a read of the disk; the tree itself stays cheap.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

__all__ = ["EntryIndex", "find_entry"]

_TABLES = """
CREATE TABLE IF NOT EXISTS entry (hash BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (size INTEGER NOT NULL);
INSERT INTO progress SELECT 0 WHERE NOT EXISTS (SELECT * FROM progress);
"""


class EntryIndex:
    """The writer's side."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self._path)
        except sqlite3.DatabaseError:  # not a database any more: it is made of the bundles again
            for name in ("", "-wal", "-shm"):
                self._path.with_name(self._path.name + name).unlink(missing_ok=True)
            return _connect(self._path)

    @property
    def size(self) -> int:
        """Leaves that are in it."""
        (size,) = self._database.execute("SELECT size FROM progress").fetchone()
        return int(size)

    def add(self, first: int, entries: Sequence[bytes]) -> None:
        """Entries that stand at `first` and behind it; `first` is `size`."""
        with self._lock, self._transaction():
            rows = zip(entries, range(first, first + len(entries)), strict=True)
            self._database.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?)", rows)
            self._database.execute("UPDATE progress SET size = ?", (first + len(entries),))

    def catch_up(self, size: int, bundles: Iterable[tuple[int, Sequence[bytes]]]) -> None:
        """Bring it to the tree's size. `bundles`: (first index, entries) from the bundle of leaf `self.size` on."""
        for first, entries in bundles:
            at = self.size
            self.add(at, entries[at - first : size - first])

    def forget(self) -> None:
        """Begin anew: it knows more than the tree has."""
        with self._lock, self._transaction():
            self._database.execute("DELETE FROM entry")
            self._database.execute("UPDATE progress SET size = 0")

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()


def find_entry(path: Path, entry: bytes) -> int | None:
    """Where an entry stands; None when it is not there (yet), or nothing is. For any process that may read the file."""
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)
        with closing(database):
            row = database.execute("SELECT position FROM entry WHERE hash = ?", (entry,)).fetchone()
    except sqlite3.OperationalError:
        return None
    return int(row[0]) if row else None


def _connect(path: Path) -> sqlite3.Connection:
    path.touch(mode=0o600)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        # NORMAL: a power cut may take the last transactions, not the file; catch_up adds them again.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_TABLES)
    except sqlite3.DatabaseError:
        database.close()
        raise
    return database
