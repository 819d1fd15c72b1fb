"""Where the parcels are: one PostgreSQL database of the register's own, filled at the first start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

from adapters.administrative.table import load_table
from adapters.land.generate import ParcelRecord, parcels
from adapters.population.generate import DEFAULT_YEAR, generate
from adapters.seeded import ORIGIN_TABLE, Table, fill_once, origin_of
from adapters.source import Context, Row, Told
from adapters.sql import Schema, SqlStore, Statement

__all__ = ["Register"]

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
    ),
)
BY_ID = Statement(
    "parcel.by_id", "SELECT parcel_id, address, area_dm2, urban, holder FROM parcel WHERE parcel_id = %(parcel_id)s"
)
OF_PERSON = Statement("parcel.of_person", "SELECT parcel_id FROM resident WHERE person = %(person)s")


class Register:
    """Reads only; `seed` and `people` say which population lives here."""

    def __init__(self, dsn: str, seed: int, people: int) -> None:
        self._seed = seed
        self._people = people
        self._store = SqlStore(
            *(BY_ID, OF_PERSON),
            dsn=dsn,
            schema=SCHEMA,
            fill=lambda connection: fill_once(connection, origin_of(seed, people), self._tables),
        )

    @asynccontextmanager
    async def running(self, told: Told) -> AsyncIterator[None]:
        """As Source.running."""
        async with self._store.running(told):
            yield

    async def parcel(self, context: Context, parcel_id: str) -> Row | None:
        """Id, address, area, use and holder."""
        return await self._store.fetch_one(context, BY_ID, {"parcel_id": parcel_id})

    async def parcel_of(self, context: Context, person: str) -> str:
        """On which parcel a person is registered; empty if on none."""
        row = await self._store.fetch_one(context, OF_PERSON, {"person": person})
        return row["parcel_id"] if row else ""

    def _tables(self) -> Iterable[Table]:
        """Residents first; the parcels are made on the way."""
        made: list[tuple[str | int | bool, ...]] = []
        people = generate(load_table(), self._seed, self._people, DEFAULT_YEAR)
        yield "COPY resident FROM STDIN", _residents(parcels(people, self._seed), made)
        yield "COPY parcel FROM STDIN", made


def _residents(found: Iterable[ParcelRecord], made: list[tuple[str | int | bool, ...]]) -> Iterator[tuple[str, str]]:
    """Rows of residents; rows of parcels, in the order of the table's columns, go to `made`."""
    for each in found:
        made.append((each.parcel_id, each.address, each.area_dm2, each.urban, each.holder))
        for person in each.residents:
            yield person, each.parcel_id
