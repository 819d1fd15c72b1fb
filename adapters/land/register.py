"""Where the parcels are: one PostgreSQL database of the register's own, filled at the first start.

It also remembers, for the day, which wards a caller named for a person: whoever tries one after another is looking for
an address that the person did not give. A question is counted before it is answered, whatever the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Final

from adapters.administrative.table import load_table
from adapters.land.generate import ParcelRecord, parcels
from adapters.population.generate import DEFAULT_YEAR, generate
from adapters.seeded import ORIGIN_TABLE, SeededStore, Table, origin_of
from adapters.source import Context, Row
from adapters.sql import Connection, Schema, Statement

__all__ = ["WARDS_A_DAY", "Question", "Register", "TooManyWards"]

SCHEMA = Schema(
    "land",
    (
        ORIGIN_TABLE
        + """
        CREATE TABLE parcel (
            parcel_id text COLLATE "C" PRIMARY KEY,
            address text NOT NULL, area_dm2 int NOT NULL, urban boolean NOT NULL,
            holder text NOT NULL
        );
        CREATE TABLE resident (
            person text COLLATE "C" PRIMARY KEY,
            parcel_id text COLLATE "C" NOT NULL
        );
        """,
        """
        CREATE TABLE asked (
            day date NOT NULL, client text COLLATE "C" NOT NULL,
            person text COLLATE "C" NOT NULL, ward text COLLATE "C" NOT NULL,
            PRIMARY KEY (day, client, person, ward)
        );
        """,
    ),
)
BY_ID = Statement(
    "parcel.by_id", "SELECT parcel_id, address, area_dm2, urban, holder FROM parcel WHERE parcel_id = %(parcel_id)s"
)
OF_PERSON = Statement("parcel.of_person", "SELECT parcel_id FROM resident WHERE person = %(person)s")
WARDS_A_DAY: Final = 5
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%(client)s || ' ' || %(person)s, 0))"
_FORGET: Final = "DELETE FROM asked WHERE day < %(day)s"
_COUNT: Final = """
    SELECT count(*) AS others FROM asked
    WHERE day = %(day)s AND client = %(client)s AND person = %(person)s AND ward <> %(ward)s
"""
_COUNTED: Final = "INSERT INTO asked VALUES (%(day)s, %(client)s, %(person)s, %(ward)s) ON CONFLICT DO NOTHING"


class TooManyWards(Exception):
    """The caller has named WARDS_A_DAY other wards for the person on this day."""


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """Whether a person lives in a ward, asked by a client (path on the bus) on a day."""

    client: str
    person: str
    ward: str
    day: date


class Register(SeededStore):
    """`seed` and `people` say which population lives here."""

    def __init__(self, dsn: str, seed: int, people: int) -> None:
        origin = origin_of(seed, people)
        super().__init__(BY_ID, OF_PERSON, dsn=dsn, schema=SCHEMA, origin=origin, tables=lambda: _tables(seed, people))

    async def parcel(self, context: Context, parcel_id: str) -> Row | None:
        """Id, address, area, use and holder."""
        return await self.fetch_one(context, BY_ID, {"parcel_id": parcel_id})

    async def residence(self, context: Context, question: Question) -> str:
        """On which parcel of the ward the person is registered; empty if on none there. TooManyWards."""

        async def count_and_look(connection: Connection) -> str:
            asked = asdict(question)
            await connection.execute(_ONE_AT_A_TIME, asked)
            await connection.execute(_FORGET, asked)
            row = await (await connection.execute(_COUNT, asked)).fetchone()
            if row is None or row["others"] >= WARDS_A_DAY:
                raise TooManyWards
            await connection.execute(_COUNTED, asked)
            found = await (await connection.execute(OF_PERSON.text, asked)).fetchone()
            parcel_id = str(found["parcel_id"]) if found else ""
            return parcel_id if parcel_id[:5] == question.ward else ""

        return await self.write(context, "parcel.of_person", count_and_look)


def _tables(seed: int, people: int) -> Iterable[Table]:
    """Residents first; the parcels are made on the way."""
    made: list[tuple[str | int | bool, ...]] = []
    everybody = generate(load_table(), seed, people, DEFAULT_YEAR)
    yield "COPY resident FROM STDIN", _residents(parcels(everybody, seed), made)
    yield "COPY parcel FROM STDIN", made


def _residents(found: Iterable[ParcelRecord], made: list[tuple[str | int | bool, ...]]) -> Iterator[tuple[str, str]]:
    """Rows of residents; rows of parcels, in the order of the table's columns, go to `made`."""
    for each in found:
        made.append((each.parcel_id, each.address, each.area_dm2, each.urban, each.holder))
        for person in each.residents:
            yield person, each.parcel_id
