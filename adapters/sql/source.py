"""The SQL source: declared statements on PostgreSQL, by psycopg. See adapters/source.py for what a source promises.

    source = SqlSource(BY_NUMBER, OF_WARD)      # where the database is: libpq's own variables (PGHOST, PGSERVICE, ...)
    row = await source.fetch_one(context, BY_NUMBER, {"number": request.number})

1. Every statement is checked by the server before the first call (EXPLAIN, which executes nothing); a misspelt column
   is told at the start.
2. Each is a transaction of its own (adapters/sql/transactions.py), within the call's deadline.
3. All is read in a read-only transaction. Give the adapter a role that may read its table and nothing else, too.
"""

from __future__ import annotations

from adapters.runtime import CannotStart  # isort: skip - first, before anything that imports gRPC

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc
import psycopg

from adapters.refusals import Refusal, refuse
from adapters.source import Context, Page, Row, Told, Values
from adapters.sql.statements import PagedStatement, Statement
from adapters.sql.tokens import TokenRefused, encode_token, parse_token
from adapters.sql.transactions import Connection, Transactions

__all__ = ["PAGE_UNUSABLE", "SqlSource"]

PAGE_UNUSABLE = Refusal(
    grpc.StatusCode.INVALID_ARGUMENT,
    "PAGE_UNUSABLE",
    "the page token belongs to another question, or the size is negative; begin again without a token",
)

CONNECTIONS: Final = 4
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1_000
LONGEST_S: Final = 30.0


class SqlSource:
    """A Source over one PostgreSQL database. `dsn` says which, in libpq's form; what it leaves out, PG* variables say.

    At most `connections` calls are in the database at once, none longer than `longest_s` seconds.
    """

    def __init__(
        self, *statements: Statement, dsn: str = "", connections: int = CONNECTIONS, longest_s: float = LONGEST_S
    ) -> None:
        self._declared = {statement.name: statement for statement in statements}
        if not len(self._declared) == len(statements) > 0:
            raise ValueError("declare at least one statement, each by a name of its own")
        self._transactions = Transactions(dsn, connections, longest_s)

    @asynccontextmanager
    async def running(self, told: Told) -> AsyncIterator[None]:
        """As Source.running; the database must be there at the start, later it may come and go."""
        await self._transactions.at_start(self._prepare)
        async with self._transactions.running(told):
            yield

    async def fetch_one(self, context: Context, question: Statement, values: Values) -> Row | None:
        """As Source.fetch_one; a second row is the statement's fault."""
        rows = await self._fetch(context, question, values)
        if len(rows) > 1:
            raise ValueError(f"{question.name} found more than one row; ask by something unique, or page by page")
        return rows[0] if rows else None

    async def fetch_page(
        self, context: Context, question: PagedStatement, values: Values, size: int, token: str
    ) -> Page:
        """As Source.fetch_page: 100 rows unless `size` says otherwise, never more than 1,000."""
        try:
            place = parse_token(question, values, token)
        except TokenRefused:
            await refuse(context, PAGE_UNUSABLE)
        if size < 0:
            await refuse(context, PAGE_UNUSABLE)
        size = min(size or DEFAULT_PAGE, MAX_PAGE)
        one_more = {**values, **place, "size": size + 1}  # which tells whether this page is the last
        rows = await self._fetch(context, question, one_more)
        token = encode_token(question, values, rows[size - 1]) if len(rows) > size else ""
        return Page(tuple(rows[:size]), token)

    async def _fetch(self, context: Context, question: Statement, values: Values) -> list[Row]:
        """All rows of one statement."""
        if self._declared.get(question.name) is not question:
            raise ValueError(f"{question.name} was not declared; name it where the SqlSource is made")
        return list(await self._transactions.rows(context, question.name, question.text, values))

    async def _prepare(self, connection: Connection) -> None:
        """Rule 1; CannotStart with what the server says."""
        for statement in self._declared.values():
            await _verify_statement(connection, statement)


async def _verify_statement(connection: Connection, statement: Statement) -> None:
    try:
        await connection.execute("EXPLAIN " + statement.text, dict.fromkeys(statement.values))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        said = str(error).partition("\n")[0]
        raise CannotStart(f"statement {statement.name}: {said}; correct it, or grant the right") from error
