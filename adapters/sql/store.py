"""A database of the program's own, read by declared statements and written in transactions.

    store = SqlStore(BY_NUMBER, dsn=dsn, schema=Schema("licences", (TABLES,)))
    row = await store.fetch_one(context, BY_NUMBER, {"number": request.number})
    await store.write(context, "licence.enter", work)       # work(connection) -> what write returns

All that SqlSource promises, and:

1. The tables are made at the first start, and filled by `fill` if there is one, in one transaction: half of it is never
   seen. `fill` runs at every start and finds out itself what is missing.
2. `write` returns when the transaction is on the disk; a work that raised has changed nothing.
3. A work may run twice (its connection broke, the caller asked again): it recognises its own earlier effect.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from adapters.source import Context
from adapters.sql.schema import Schema, provide
from adapters.sql.source import CONNECTIONS, LONGEST_S, SqlSource
from adapters.sql.statements import Statement
from adapters.sql.transactions import Connection, Work

__all__ = ["SqlStore"]

_T = TypeVar("_T")


class SqlStore(SqlSource):
    """A SqlSource that also writes; see the module's text."""

    def __init__(
        self,
        *statements: Statement,
        dsn: str,
        schema: Schema,
        fill: Callable[[Connection], Awaitable[None]] | None = None,
        connections: int = CONNECTIONS,
        longest_s: float = LONGEST_S,
    ) -> None:
        super().__init__(*statements, dsn=dsn, connections=connections, longest_s=longest_s)
        self._schema = schema
        self._fill = fill

    async def write(self, context: Context, name: str, work: Work[_T]) -> _T:
        """What `work` returns, durable, within the call's time; what the database cannot do ends the call."""
        return await self._transactions.write(context, name, work)

    async def do(self, work: Work[_T]) -> _T:
        """As `write`, for a task of the program itself; transactions.FAULTS are raised."""
        return await self._transactions.do(work)

    async def _prepare(self, connection: Connection) -> None:
        async with connection.transaction():
            await provide(connection, self._schema)
            if self._fill is not None:
                await self._fill(connection)
        await super()._prepare(connection)
