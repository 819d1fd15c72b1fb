"""Where the register lives, behind one small interface.

The contract of PersonStore, for whoever writes another one:

1. `person` sees everything that was acknowledged.
2. `number_for` is the number given for a notice, None before it is entered.
3. `enter_newborn` is one transaction: the person and the notice are both there
   or neither is, and they are on disk before it returns. A crash leaves one of
   these two states.
4. A notice is entered once. The same notice with the same content returns the
   number given before; with other content both methods raise NoticeConflict.
5. A number is given once. If the number drawn is taken, another is drawn.

Reads take microseconds and may be made on the event loop; writes wait for the
disk and belong on a thread. This one keeps SQLite's write-ahead log with full
synchronisation; PostgreSQL follows with the ministries' databases.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Protocol

from adapters.population.records import Birthday, Name, PersonRecord

__all__ = ["NoticeConflict", "NumbersExhausted", "PersonStore", "SqliteStore", "StoreMismatch"]

ATTEMPTS = 100  # draws before the numbers of a province, sex and year count as exhausted

_SCHEMA = """
CREATE TABLE IF NOT EXISTS origin (what TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS person (
    number TEXT PRIMARY KEY,
    family TEXT NOT NULL, middle TEXT NOT NULL, given TEXT NOT NULL,
    year INTEGER NOT NULL, month INTEGER NOT NULL, day INTEGER NOT NULL,
    female INTEGER NOT NULL, alive INTEGER NOT NULL,
    ward TEXT NOT NULL, address TEXT NOT NULL,
    mother TEXT NOT NULL, father TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notice (
    number TEXT PRIMARY KEY,
    content BLOB NOT NULL,
    person TEXT NOT NULL UNIQUE REFERENCES person (number)
) WITHOUT ROWID;
"""
_INSERT = "INSERT INTO person VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class NoticeConflict(Exception):
    """The birth notice was entered before with other content."""


class NumbersExhausted(Exception):
    """No free number was found for a newborn."""


class StoreMismatch(Exception):
    """The folder holds another population than the one asked for."""


class PersonStore(Protocol):
    """See the module's text for what each promises."""

    def person(self, number: str) -> PersonRecord | None: ...

    def number_for(self, notice: str, content: bytes) -> str | None: ...

    def enter_newborn(self, notice: str, content: bytes, draw: Callable[[], PersonRecord]) -> str: ...


class SqliteStore:
    """One file; one connection to read, one to write, so that a reader never sees half a transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._writer = _connect(path)
        self._writer.executescript(_SCHEMA)
        self._reader = _connect(path)

    def close(self) -> None:
        self._reader.close()
        self._writer.close()

    def fill(self, origin: dict[str, str], make: Callable[[], Iterable[PersonRecord]]) -> None:
        """Enter a whole population unless it is there; `origin` says which one it is.

        Raises StoreMismatch if the file holds a population of another origin.
        """
        with self._lock, closing(self._writer.cursor()) as cursor:
            found = dict(cursor.execute("SELECT what, value FROM origin").fetchall())
            if found == origin:
                return
            if found:
                raise StoreMismatch("the state folder holds a population of another seed or size; give another folder")
            cursor.execute("BEGIN IMMEDIATE")
            try:
                cursor.executemany(_INSERT, map(_row, make()))
                cursor.executemany("INSERT INTO origin VALUES (?, ?)", origin.items())
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")

    def person(self, number: str) -> PersonRecord | None:
        row = self._reader.execute("SELECT * FROM person WHERE number = ?", (number,)).fetchone()
        return _record(row) if row else None

    def number_for(self, notice: str, content: bytes) -> str | None:
        return _number_for(self._reader, notice, content)

    def enter_newborn(self, notice: str, content: bytes, draw: Callable[[], PersonRecord]) -> str:
        with self._lock, closing(self._writer.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                number = _number_for(cursor, notice, content) or _enter(cursor, notice, content, draw)
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
            cursor.execute("COMMIT")
            return number


def _number_for(database: sqlite3.Cursor | sqlite3.Connection, notice: str, content: bytes) -> str | None:
    row = database.execute("SELECT content, person FROM notice WHERE number = ?", (notice,)).fetchone()
    if row and row[0] != content:
        raise NoticeConflict
    return str(row[1]) if row else None


def _enter(cursor: sqlite3.Cursor, notice: str, content: bytes, draw: Callable[[], PersonRecord]) -> str:
    for _ in range(ATTEMPTS):
        child = draw()
        if not cursor.execute("SELECT 1 FROM person WHERE number = ?", (child.number,)).fetchone():
            cursor.execute(_INSERT, _row(child))
            cursor.execute("INSERT INTO notice VALUES (?, ?, ?)", (notice, content, child.number))
            return child.number
    raise NumbersExhausted


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # an acknowledged birth survives power loss
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def _row(person: PersonRecord) -> tuple[str | int, ...]:
    name, birthday = person.name, person.birthday
    return (
        *(person.number, name.family, name.middle, name.given),
        *(birthday.year, birthday.month, birthday.day),
        *(int(person.female), int(person.alive), person.ward, person.address, person.mother, person.father),
    )


def _record(row: tuple[str | int, ...]) -> PersonRecord:
    number, family, middle, given, year, month, day, female, alive, ward, address, mother, father = row
    return PersonRecord(
        number=str(number),
        name=Name(str(family), str(middle), str(given)),
        birthday=Birthday(int(year), int(month), int(day)),
        female=bool(female),
        alive=bool(alive),
        ward=str(ward),
        address=str(address),
        mother=str(mother),
        father=str(father),
    )
