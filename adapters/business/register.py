"""Where the enterprises are: one PostgreSQL database of the register's own, filled at the first start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from adapters.administrative.table import load_table
from adapters.business.generate import EnterpriseRecord, Status, generate
from adapters.seeded import ORIGIN_TABLE, SeededStore, Table, origin_of
from adapters.source import Context, Page
from adapters.sql import PagedStatement, Schema, Statement

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


class Register(SeededStore):
    """Reads only; `seed` and `people` say which enterprises there are."""

    def __init__(self, dsn: str, seed: int, people: int) -> None:
        origin = origin_of(seed, people)
        super().__init__(
            BY_TAX_CODE, FOUND, dsn=dsn, schema=SCHEMA, origin=origin, tables=lambda: _tables(seed, people)
        )

    async def enterprise(self, context: Context, tax_code: str) -> EnterpriseRecord | None:
        row = await self.fetch_one(context, BY_TAX_CODE, {"tax_code": tax_code})
        return EnterpriseRecord(**{**row, "status": Status(row["status"])}) if row else None

    async def found(self, context: Context, province: str, status: int, size: int, token: str) -> Page:
        """Tax code, name and status of some; empty and 0 stand for every province and status."""
        return await self.fetch_page(context, FOUND, {"province": province, "status": status}, size=size, token=token)


def _tables(seed: int, people: int) -> Iterable[Table]:
    yield "COPY enterprise FROM STDIN", _rows(generate(load_table(), seed, people))


def _rows(enterprises: Iterable[EnterpriseRecord]) -> Iterator[tuple[str | int, ...]]:
    """In the order of the table's columns."""
    for each in enterprises:
        yield each.tax_code, each.name, each.status, each.ward, each.province, each.address, each.founded
