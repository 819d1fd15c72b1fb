"""Where the register lives: one PostgreSQL database of its own.

1. `person` sees everything that was acknowledged.
2. `number_for` is the number given for a notice, None before it is entered.
3. `enter_newborn` is one transaction: the person and the notice are both there or neither is, and they are on the disk
   before it returns. A crash leaves one of these two states.
4. A notice is entered once. The same notice with the same content returns the number given before; with other content
   both methods raise NoticeConflict.
5. A number is given once. If the number drawn is taken, another is drawn.
6. The people of the seed are there, all of them, before the first call; they are entered at the first start.
"""

from __future__ import annotations

from adapters.runtime import CannotStart  # isort: skip - first, before anything that imports gRPC

import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from adapters.population.records import Birthday, Name, PersonRecord
from adapters.source import Context, Row, Told
from adapters.sql import Connection, Schema, SqlStore, Statement

__all__ = ["NoticeConflict", "NumbersExhausted", "PersonStore"]

ATTEMPTS: Final = 100  # draws before the numbers of a province, sex and year count as exhausted
TELL_S: Final = 2.0
_PIECE: Final = 1_000  # people between two looks at the clock

SCHEMA = Schema(
    "population",
    (
        """
        CREATE TABLE origin (what text PRIMARY KEY, value text NOT NULL);
        CREATE TABLE person (
            number text COLLATE "C" PRIMARY KEY,
            family text NOT NULL, middle text NOT NULL, given text NOT NULL,
            year int NOT NULL, month int NOT NULL, day int NOT NULL,
            female boolean NOT NULL, alive boolean NOT NULL,
            ward text NOT NULL, address text NOT NULL,
            mother text NOT NULL, father text NOT NULL
        );
        CREATE TABLE notice (
            number text COLLATE "C" PRIMARY KEY,
            content bytea NOT NULL,
            person text COLLATE "C" NOT NULL UNIQUE REFERENCES person
        );
        """,
    ),
)
PERSON = Statement(
    "person.by_number",
    "SELECT number, family, middle, given, year, month, day, female, alive, ward, address, mother, father"
    " FROM person WHERE number = %(number)s",
)
NOTICE = Statement("notice.by_number", "SELECT content, person FROM notice WHERE number = %(number)s")
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"  # of one notice
_INSERT: Final = "INSERT INTO person VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
_INSERT_NOTICE: Final = "INSERT INTO notice VALUES (%s, %s, %s)"


class NoticeConflict(Exception):
    """The birth notice was entered before with other content."""


class NumbersExhausted(Exception):
    """No free number was found for a newborn."""


class PersonStore:
    """See the module's text for what each promises.

    `origin` says which people there are in the beginning, `make` makes them. A database of people of another origin
    cannot be started with.
    """

    def __init__(self, dsn: str, origin: Mapping[str, str], make: Callable[[], Iterable[PersonRecord]]) -> None:
        self._origin = dict(origin)
        self._make = make
        self._store = SqlStore(PERSON, NOTICE, dsn=dsn, schema=SCHEMA, fill=self._fill)

    @asynccontextmanager
    async def running(self, told: Told) -> AsyncIterator[None]:
        """As Source.running."""
        async with self._store.running(told):
            yield

    async def person(self, context: Context, number: str) -> PersonRecord | None:
        row = await self._store.fetch_one(context, PERSON, {"number": number})
        return _record(row) if row else None

    async def number_for(self, context: Context, notice: str, content: bytes) -> str | None:
        return _number(await self._store.fetch_one(context, NOTICE, {"number": notice}), content)

    async def enter_newborn(
        self, context: Context, notice: str, content: bytes, draw: Callable[[], PersonRecord]
    ) -> str:
        async def enter(connection: Connection) -> str:
            await connection.execute(_ONE_AT_A_TIME, (notice,))
            found = await connection.execute(NOTICE.text, {"number": notice})
            return _number(await found.fetchone(), content) or await _enter(connection, notice, content, draw)

        return await self._store.write(context, "notice.enter", enter)

    async def _fill(self, connection: Connection) -> None:
        rows = await connection.execute("SELECT what, value FROM origin")
        found = {row["what"]: row["value"] for row in await rows.fetchall()}
        if found and found != self._origin:
            raise CannotStart(
                f"the database holds {_told(found)}, not {_told(self._origin)}; ask for those, or give another database"
            )
        if not found:
            await _copy_people(connection, self._make())
            async with connection.cursor() as cursor:
                await cursor.executemany("INSERT INTO origin VALUES (%s, %s)", list(self._origin.items()))


def _told(origin: Mapping[str, str]) -> str:
    return ", ".join(f"{what} {value}" for what, value in sorted(origin.items()))


async def _copy_people(connection: Connection, people: Iterable[PersonRecord]) -> None:
    """All of them in one COPY, told of on standard error while it goes on."""
    told, entered = time.monotonic(), 0
    async with connection.cursor() as cursor, cursor.copy("COPY person FROM STDIN") as copy:
        for person in people:
            await copy.write_row(_row(person))
            entered += 1
            if entered % _PIECE == 0 and time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                sys.stderr.write(f"{entered:,} synthetic people made\n")
                sys.stderr.flush()


def _number(row: Row | None, content: bytes) -> str | None:
    if row and row["content"] != content:
        raise NoticeConflict
    return str(row["person"]) if row else None


async def _enter(connection: Connection, notice: str, content: bytes, draw: Callable[[], PersonRecord]) -> str:
    for _ in range(ATTEMPTS):
        child = draw()
        if (await connection.execute(_INSERT, _row(child))).rowcount:
            await connection.execute(_INSERT_NOTICE, (notice, content, child.number))
            return child.number
    raise NumbersExhausted


def _row(person: PersonRecord) -> tuple[str | int | bool, ...]:
    """In the order of the table's columns."""
    name, birthday = person.name, person.birthday
    return (
        *(person.number, name.family, name.middle, name.given, birthday.year, birthday.month, birthday.day),
        *(person.female, person.alive, person.ward, person.address, person.mother, person.father),
    )


def _record(row: Row) -> PersonRecord:
    return PersonRecord(
        number=row["number"],
        name=Name(row["family"], row["middle"], row["given"]),
        birthday=Birthday(row["year"], row["month"], row["day"]),
        female=row["female"],
        alive=row["alive"],
        ward=row["ward"],
        address=row["address"],
        mother=row["mother"],
        father=row["father"],
    )
