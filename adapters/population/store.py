"""Where the register lives: one PostgreSQL database of its own.

1. `person` sees everything that was acknowledged.
2. `number_for` is the number given for a notice, None before it is entered.
3. `enter_newborn` is one transaction: the person and the notice are both there or neither is, and they are on the disk
   before it returns. A crash leaves one of these two states.
4. A notice is entered once, and belongs to the registrar that entered it. From the same one the same content returns
   the number given before; with other content both methods raise NoticeConflict. To another they raise NoticeElsewhere,
   whatever the content.
5. A number is given once. If the number drawn is taken, another is drawn.
6. The people of the seed are there, all of them, before the first call; they are entered at the first start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.population.records import Birthday, Name, PersonRecord
from adapters.seeded import ORIGIN_TABLE, SeededStore
from adapters.source import Context, Row
from adapters.sql import Connection, Schema, Statement

__all__ = ["Notice", "NoticeConflict", "NoticeElsewhere", "NumbersExhausted", "PersonStore"]

ATTEMPTS: Final = 100  # draws before the numbers of a province, sex and year count as exhausted

SCHEMA = Schema(
    "population",
    (
        ORIGIN_TABLE
        + """
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
        # Who entered those before was not kept; a civil status office knows its own by its book and does not ask again.
        "ALTER TABLE notice ADD COLUMN registrar text COLLATE \"C\" NOT NULL DEFAULT ''",
    ),
)
PERSON = Statement(
    "person.by_number",
    "SELECT number, family, middle, given, year, month, day, female, alive, ward, address, mother, father"
    " FROM person WHERE number = %(number)s",
)
NOTICE = Statement("notice.by_number", "SELECT content, person, registrar FROM notice WHERE number = %(number)s")
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"  # of one notice
_INSERT: Final = "INSERT INTO person VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"
_INSERT_NOTICE: Final = "INSERT INTO notice VALUES (%s, %s, %s, %s)"


class NoticeConflict(Exception):
    """The birth notice was entered before with other content."""


class NoticeElsewhere(Exception):
    """Another registrar entered the birth notice."""


class NumbersExhausted(Exception):
    """No free number was found for a newborn."""


@dataclass(frozen=True, slots=True, repr=False)
class Notice:
    """What one registrar says of one birth."""

    number: str
    content: bytes  # everything it says, to tell a repetition from a contradiction
    registrar: str  # path of the subsystem


class PersonStore(SeededStore):
    """See the module's text for what each promises.

    `origin` says which people there are in the beginning, `make` makes them. A database of people of another origin
    cannot be started with.
    """

    def __init__(self, dsn: str, origin: Mapping[str, str], make: Callable[[], Iterable[PersonRecord]]) -> None:
        super().__init__(
            *(PERSON, NOTICE),
            dsn=dsn,
            schema=SCHEMA,
            origin=origin,
            tables=lambda: [("COPY person FROM STDIN", map(_row, make()))],
        )

    async def person(self, context: Context, number: str) -> PersonRecord | None:
        row = await self.fetch_one(context, PERSON, {"number": number})
        return _record(row) if row else None

    async def number_for(self, context: Context, notice: Notice) -> str | None:
        return _number(await self.fetch_one(context, NOTICE, {"number": notice.number}), notice)

    async def enter_newborn(self, context: Context, notice: Notice, draw: Callable[[], PersonRecord]) -> str:
        async def enter(connection: Connection) -> str:
            await connection.execute(_ONE_AT_A_TIME, (notice.number,))
            found = await connection.execute(NOTICE.text, {"number": notice.number})
            return _number(await found.fetchone(), notice) or await _enter(connection, notice, draw)

        return await self.write(context, "notice.enter", enter)


def _number(row: Row | None, notice: Notice) -> str | None:
    if row and row["registrar"] != notice.registrar:
        raise NoticeElsewhere
    if row and row["content"] != notice.content:
        raise NoticeConflict
    return str(row["person"]) if row else None


async def _enter(connection: Connection, notice: Notice, draw: Callable[[], PersonRecord]) -> str:
    for _ in range(ATTEMPTS):
        child = draw()
        if (await connection.execute(_INSERT, _row(child))).rowcount:
            await connection.execute(_INSERT_NOTICE, (notice.number, notice.content, child.number, notice.registrar))
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
