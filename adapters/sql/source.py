"""The SQL source: declared statements on PostgreSQL, by psycopg. See adapters/source.py for what a source promises.

    source = SqlSource(BY_NUMBER, OF_WARD)      # where the database is: libpq's own variables (PGHOST, PGSERVICE, ...)
    row = await source.fetch_one(context, BY_NUMBER, {"number": request.number})

1. Every statement is checked by the server before the first call (EXPLAIN, which executes nothing); a misspelt column
   is told at the start.
2. A call has what remains of its deadline, less a little so that its answer arrives; waiting for a connection is part
   of it. The server itself ends a statement that takes longer (statement_timeout), and that of a caller who has left.
3. All is read in a read-only transaction. Give the adapter a role that may read its table and nothing else, too.
"""

from __future__ import annotations

from adapters.runtime import CannotStart  # isort: skip - first, before anything that imports gRPC

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import grpc
import psycopg
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from psycopg.errors import FeatureNotSupported, QueryCanceled
from psycopg.rows import DictRow
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from adapters.refusals import Refusal, refuse
from adapters.source import Context, Page, Row, Told, Values
from adapters.sql.connections import Connections, DatabaseAway
from adapters.sql.patience import Patience
from adapters.sql.statements import PagedStatement, Statement
from adapters.sql.tokens import TokenRefused, encode_token, parse_token

__all__ = ["DATABASE_AWAY", "DATABASE_BUSY", "DATABASE_SLOW", "PAGE_UNUSABLE", "VALUE_UNUSABLE", "SqlSource"]

DATABASE_AWAY = Refusal(
    grpc.StatusCode.UNAVAILABLE, "DATABASE_AWAY", "the database of this service does not answer; ask again in a minute"
)
DATABASE_BUSY = Refusal(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "DATABASE_BUSY",
    "every connection to the database of this service is taken; ask again later, and fewer at once",
)
DATABASE_SLOW = Refusal(
    grpc.StatusCode.DEADLINE_EXCEEDED,
    "DATABASE_SLOW",
    "the database of this service was not done in time; ask for less, or give the call more time",
)
PAGE_UNUSABLE = Refusal(
    grpc.StatusCode.INVALID_ARGUMENT,
    "PAGE_UNUSABLE",
    "the page token belongs to another question, or the size is negative; begin again without a token",
)
VALUE_UNUSABLE = Refusal(
    grpc.StatusCode.INVALID_ARGUMENT,
    "VALUE_UNUSABLE",
    "a value of the request cannot be looked up: too large, or with characters that no text has; correct it",
)

CONNECTIONS: Final = 4
DEFAULT_PAGE: Final = 100
MAX_PAGE: Final = 1_000
LONGEST_S: Final = 30.0
WAIT_S: Final = 2.0  # for a connection, at most
_RESERVE_S: Final = 0.25  # of the deadline, for the way back; of short ones a quarter

_tracer = trace.get_tracer("govbus.adapters.sql")


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
        self._patience = Patience()
        self._connections = Connections(dsn, connections, self._patience)
        self._longest_s = longest_s

    @asynccontextmanager
    async def running(self, told: Told) -> AsyncIterator[None]:
        """As Source.running; the database must be there at the start, later it may come and go."""
        await self._verify_statements()
        async with self._connections.running(told):
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
        """All rows of one statement within the call's deadline, as one span; whatever goes wrong ends the call."""
        if self._declared.get(question.name) is not question:
            raise ValueError(f"{question.name} was not declared; name it where the SqlSource is made")
        remaining = context.time_remaining()
        left = self._longest_s if remaining is None else min(remaining, self._longest_s)
        with _span(question.name) as span:
            try:
                return await self._ask(question, values, left, min(_RESERVE_S, left / 4))
            except Exception as error:
                refusal = _refusal_for(error)
                span.set_attribute("error.type", refusal.reason if refusal else type(error).__name__)
                span.set_status(StatusCode.ERROR)
                if refusal is None:
                    raise
        return await refuse(context, refusal)

    async def _ask(self, question: Statement, values: Values, left: float, reserve: float) -> list[Row]:
        """The server has until the reserve begins; only one that does not keep to that is left at its half."""
        asked = self._ask_again(question, values, time.monotonic() + left - reserve)
        return await self._patience.within(left - reserve / 2, asked)

    async def _ask_again(self, question: Statement, values: Values, until: float) -> list[Row]:
        try:
            return await self._ask_once(question, values, until)
        except psycopg.Error as error:
            if not _passes(error):
                raise
            await self._connections.renew()
            return await self._ask_once(question, values, until)

    async def _ask_once(self, question: Statement, values: Values, until: float) -> list[Row]:
        async with self._connections.lend(min(until - time.monotonic(), WAIT_S)) as connection:
            limit_ms = max(1, int((until - time.monotonic()) * 1000))
            await connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(limit_ms),))
            cursor = await connection.execute(question.text, dict(values), prepare=True)
            return list(await cursor.fetchall())

    async def _verify_statements(self) -> None:
        """Rule 1; CannotStart with what the server says."""
        try:
            async with await self._connections.connect() as connection:
                for statement in self._declared.values():
                    await _verify_statement(connection, statement)
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            raise CannotStart(f"no database: {said}; say where it is by PGHOST, PGDATABASE, PGUSER") from error


async def _verify_statement(connection: psycopg.AsyncConnection[DictRow], statement: Statement) -> None:
    try:
        await connection.execute("EXPLAIN " + statement.text, dict.fromkeys(statement.values))
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        said = str(error).partition("\n")[0]
        raise CannotStart(f"statement {statement.name}: {said}; correct it, or grant the right") from error


@contextmanager
def _span(name: str) -> Iterator[Span]:
    """A child of the call's span (OpenTelemetry's conventions for databases). What was raised is not recorded: it may
    quote values."""
    with _tracer.start_as_current_span(
        name,
        kind=SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.query.summary": name},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def _passes(error: psycopg.Error) -> bool:
    """Whether the same may be asked again at once: the connection was broken, or a table altered since it prepared.

    Reading twice harms nothing.
    """
    if isinstance(error, QueryCanceled | PoolTimeout | PoolClosed | TooManyRequests):
        return False
    return isinstance(error, psycopg.OperationalError | FeatureNotSupported)


def _refusal_for(error: Exception) -> Refusal | None:
    """How what a database could not do is told; None for what is this program's own fault."""
    match error:
        case DatabaseAway() | PoolClosed():
            return DATABASE_AWAY
        case PoolTimeout() | TooManyRequests():
            return DATABASE_BUSY
        case QueryCanceled() | TimeoutError():
            return DATABASE_SLOW
        case psycopg.OperationalError():
            return DATABASE_AWAY
        case psycopg.DataError():
            return VALUE_UNUSABLE
    return None
