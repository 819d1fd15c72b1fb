"""Transactions in one database, each within the time that a call has; the one place where a database's faults are told.

1. A call has what remains of its deadline, less a little so that its answer arrives; waiting for a connection is part
   of it. The server itself ends a statement that takes longer (statement_timeout), and that of a caller who has left.
2. What was written is on the disk before it is acknowledged (synchronous_commit), whatever the server's default.
3. A transaction whose connection broke is taken again, once, on another one. It may have been committed by then:
   what writes has to recognise its own earlier effect.
4. Each that is for a call is one span below the call's, with its name: no value, no wording, no text of an error.
"""

from __future__ import annotations

from adapters.runtime import CannotStart  # isort: skip - first, before anything that imports gRPC

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Final, LiteralString, TypeVar

import grpc
import psycopg
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, StatusCode
from psycopg import AsyncConnection
from psycopg.errors import FeatureNotSupported, QueryCanceled, ReadOnlySqlTransaction
from psycopg.rows import DictRow
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from adapters.refusals import Refusal, refuse
from adapters.source import Context, Told
from adapters.sql.connections import Connections, DatabaseAway
from adapters.sql.patience import Patience

__all__ = [
    "DATABASE_AWAY",
    "DATABASE_BUSY",
    "DATABASE_SLOW",
    "FAULTS",
    "VALUE_UNUSABLE",
    "Connection",
    "Transactions",
    "Work",
]

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
VALUE_UNUSABLE = Refusal(
    grpc.StatusCode.INVALID_ARGUMENT,
    "VALUE_UNUSABLE",
    "a value of the request cannot be looked up: too large, or with characters that no text has; correct it",
)

WAIT_S: Final = 2.0  # for a connection, at most
_RESERVE_S: Final = 0.25  # of the deadline, for the way back; of short ones a quarter
_LIMITS: Final = "SELECT set_config('statement_timeout', %s, true), set_config('synchronous_commit', 'on', true)"

_T = TypeVar("_T")
Connection = AsyncConnection[DictRow]
Work = Callable[[Connection], Awaitable[_T]]
"""What is done in one transaction, which is committed when it returns and undone when it raises."""
_Taken = Callable[[Connection, tuple[str]], Awaitable[_T]]
"""As Work, given also the values of _LIMITS, which it sends first."""

FAULTS: Final = (DatabaseAway, TimeoutError, psycopg.OperationalError)
"""What a database cannot do now; it may later."""

_tracer = trace.get_tracer("govbus.adapters.sql")


class Transactions:
    """At most `connections` at once, none longer than `longest_s` seconds; `dsn` is libpq's, see SqlSource."""

    def __init__(self, dsn: str, connections: int, longest_s: float) -> None:
        self._patience = Patience()
        self._connections = Connections(dsn, connections, self._patience)
        self._longest_s = longest_s

    def running(self, told: Told) -> AbstractAsyncContextManager[None]:
        """As Source.running, after `at_start`."""
        return self._connections.running(told)

    async def at_start(self, work: Work[None]) -> None:
        """Before the first call, on a connection in autocommit without a limit of time; CannotStart when it fails."""
        try:
            async with await self._connections.connect() as connection:
                await work(connection)
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            where = "look at what --database names, or PGHOST, PGDATABASE, PGUSER"
            raise CannotStart(f"no database: {said}; {where}") from error
        except psycopg.Error as error:
            said = str(error).partition("\n")[0]
            raise CannotStart(f"the database refused: {said}; give the role a database that it owns") from error

    async def rows(
        self, context: Context, name: str, question: LiteralString, values: Mapping[str, object]
    ) -> list[DictRow]:
        """All rows of one statement that reads, as `write`; begin, limits, statement and end are one round trip."""

        async def ask(connection: Connection, limits: tuple[str]) -> list[DictRow]:
            async with connection.pipeline():
                await connection.execute(_LIMITS, limits, prepare=True)
                cursor = await connection.execute(question, values, prepare=True)
                await connection.commit()
            return await cursor.fetchall()

        return await self._answer(context, name, ask, writes=False)

    async def write(self, context: Context, name: str, work: Work[_T]) -> _T:
        """What `work` returns, for a call; whatever the database cannot do ends the call with a fixed text."""
        return await self._answer(context, name, _limited(work), writes=True)

    async def do(self, work: Work[_T]) -> _T:
        """What `work` returns, for a task of the program itself, which may write; FAULTS are raised. Not traced."""
        return await self._within(self._longest_s, _limited(work), writes=True)

    async def _answer(self, context: Context, name: str, work: _Taken[_T], *, writes: bool) -> _T:
        remaining = context.time_remaining()
        left = self._longest_s if remaining is None else min(remaining, self._longest_s)
        with _span(name) as span:
            try:
                return await self._within(left, work, writes)
            except Exception as error:
                refusal = _refusal_for(error, writes=writes)
                span.set_attribute("error.type", refusal.reason if refusal else type(error).__name__)
                span.set_status(StatusCode.ERROR)
                if refusal is None:
                    raise
        return await refuse(context, refusal)

    async def _within(self, left: float, work: _Taken[_T], writes: bool) -> _T:
        """The server has until the reserve begins; only one that does not keep to that is left at its half."""
        reserve = min(_RESERVE_S, left / 4)
        asked = self._twice(work, time.monotonic() + left - reserve, writes)
        return await self._patience.within(left - reserve / 2, asked)

    async def _twice(self, work: _Taken[_T], until: float, writes: bool) -> _T:
        try:
            return await self._once(work, until, writes)
        except psycopg.Error as error:
            if not _passes(error):
                raise
            await self._connections.renew()
            return await self._once(work, until, writes)

    async def _once(self, work: _Taken[_T], until: float, writes: bool) -> _T:
        async with self._connections.lend(min(until - time.monotonic(), WAIT_S), writes=writes) as connection:
            limit_ms = max(1, int((until - time.monotonic()) * 1000))
            return await work(connection, (str(limit_ms),))


def _limited(work: Work[_T]) -> _Taken[_T]:
    async def taken(connection: Connection, limits: tuple[str]) -> _T:
        await connection.execute(_LIMITS, limits)
        return await work(connection)

    return taken


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
    """Whether the same may be asked again at once: the connection was broken, two transactions stood in each other's
    way, or a table was altered since the statement was prepared."""
    if isinstance(error, QueryCanceled | PoolTimeout | PoolClosed | TooManyRequests):
        return False
    return isinstance(error, psycopg.OperationalError | FeatureNotSupported)


def _refusal_for(error: Exception, *, writes: bool) -> Refusal | None:
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
        case ReadOnlySqlTransaction() if writes:  # a server that only follows another
            return DATABASE_AWAY
        case psycopg.DataError():
            return VALUE_UNUSABLE
    return None
