"""Where the enterprises are: one PostgreSQL database of the register's own, filled at the first start."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager

from adapters.administrative.table import load_table
from adapters.business.generate import EnterpriseRecord, Status, generate
from adapters.seeded import ORIGIN_TABLE, Table, fill_once, origin_of
from adapters.source import Context, Page, Told
from adapters.sql import PagedStatement, Schema, SqlStore, Statement

__all__ = ["Register"]

SCHEMA = Schema(
    "business",
    (
        ORIGIN_TABLE
        + """
        CREATE TABLE enterprise (
            tax_code text COLLATE "C" PRIMARY KEY,
            name text NOT NULL, status int NOT NULL,
            ward text COLLATE "C" NOT NULL, province text COLLATE "C" NOT NULL, address text NOT NULL,
            founded int NOT NULL
        );
        CREATE INDEX enterprise_of_province ON enterprise (province, tax_code);
        """,
    ),
)
BY_TAX_CODE = Statement(
    "enterprise.by_tax_code",
    "SELECT tax_code, name, status, ward, province, address, founded FROM enterprise WHERE tax_code = %(tax_code)s",
)
FOUND = PagedStatement(
    "enterprise.found",
    "SELECT tax_code, name, status FROM enterprise WHERE (%(province)s = '' OR province = %(province)s)"
    " AND (%(status)s = 0 OR status = %(status)s) AND tax_code > %(after_tax_code)s ORDER BY tax_code LIMIT %(size)s",
    start={"tax_code": ""},
)


class Register:
    """Reads only; `seed` and `people` say which enterprises there are."""

    def __init__(self, dsn: str, seed: int, people: int) -> None:
        self._seed = seed
        self._people = people
        self._store = SqlStore(
            *(BY_TAX_CODE, FOUND),
            dsn=dsn,
            schema=SCHEMA,
            fill=lambda connection: fill_once(connection, origin_of(seed, people), self._tables),
        )

    @asynccontextmanager
    async def running(self, told: Told) -> AsyncIterator[None]:
        """As Source.running."""
        async with self._store.running(told):
            yield

    async def enterprise(self, context: Context, tax_code: str) -> EnterpriseRecord | None:
        row = await self._store.fetch_one(context, BY_TAX_CODE, {"tax_code": tax_code})
        return EnterpriseRecord(**{**row, "status": Status(row["status"])}) if row else None

    async def found(self, context: Context, province: str, status: int, size: int, token: str) -> Page:
        """Tax code, name and status of some; empty and 0 stand for every province and status."""
        return await self._store.fetch_page(
            context, FOUND, {"province": province, "status": status}, size=size, token=token
        )

    def _tables(self) -> Iterable[Table]:
        yield "COPY enterprise FROM STDIN", _rows(generate(load_table(), self._seed, self._people))


def _rows(enterprises: Iterable[EnterpriseRecord]) -> Iterator[tuple[str | int, ...]]:
    """In the order of the table's columns."""
    for each in enterprises:
        yield each.tax_code, each.name, each.status, each.ward, each.province, each.address, each.founded
