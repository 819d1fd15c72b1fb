"""A pool of connections that is there while the database is: opened, watched, closed and opened again.

One connection more than the pool looks every second. When it breaks, the pool is closed, so that a call is told at once
that the database is away instead of waiting for it; when a new one comes through, a new pool takes its place. A pool
that lived through the outage would still be pausing between its attempts.

Whoever finds a connection broken has the others looked at, too: what broke while nobody asked fails one call at most,
and none that asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from adapters.source import Told
from adapters.sql.patience import Patience, end_task

__all__ = ["Connections", "DatabaseAway"]

LOOK_S: Final = 1.0
PROBE_S: Final = 5.0  # a look that takes longer counts as none
CONNECT_S: Final = 5
WAITING_EACH: Final = 16  # calls that may wait for each connection; one more is told at once that all are taken

log = logging.getLogger(__name__)
# A pool logs every attempt to connect while the database is away; that it is away is said here, once.
logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)

_Pool = AsyncConnectionPool[AsyncConnection[DictRow]]


class DatabaseAway(Exception):
    """There is no database to ask now."""


class Connections:
    """`size` connections to one database; made and used on one event loop."""

    def __init__(self, dsn: str, size: int, patience: Patience) -> None:
        self._patience = patience
        self._dsn = dsn
        self._size = size
        self._pool: _Pool | None = None

    async def connect(self) -> AsyncConnection[DictRow]:
        """One connection outside of the pool; psycopg.OperationalError if there is none to be had."""
        return await AsyncConnection.connect(self._dsn, autocommit=True, **_options("watch"))

    @asynccontextmanager
    async def lend(self, seconds: float, *, writes: bool) -> AsyncIterator[AsyncConnection[DictRow]]:
        """A connection in a transaction, committed at the end. DatabaseAway, or psycopg_pool.PoolTimeout: all taken."""
        if self._pool is None:
            raise DatabaseAway
        async with self._pool.connection(timeout=seconds) as connection:
            await connection.set_read_only(not writes)
            yield connection

    async def renew(self) -> None:
        """Replace those that are broken, among the idle ones."""
        if self._pool is not None:
            await self._pool.check()

    @asynccontextmanager
    async def running(self, told: Told) -> AsyncIterator[None]:
        """For the block there is a pool whenever there is a database."""
        await self._open()
        watching = asyncio.create_task(self._watch(told))
        try:
            yield
        finally:
            await end_task(watching)
            await self._close()
            await self._patience.end()

    async def _watch(self, told: Told) -> None:
        while True:
            try:
                await self._watch_one(await self.connect(), told)
            except (psycopg.OperationalError, TimeoutError) as error:
                if self._pool is not None:
                    log.warning("the database is away (%s); calls are told so until it is back", type(error).__name__)
            await self._close()
            await told(False)
            await asyncio.sleep(LOOK_S)

    async def _watch_one(self, probe: AsyncConnection[DictRow], told: Told) -> None:
        """Look through one connection until it breaks."""
        try:
            await self._open()
            while True:
                await told(True)
                await asyncio.sleep(LOOK_S)
                await self._patience.within(PROBE_S, probe.execute("SELECT 1"))
        finally:
            self._patience.leave(_close_in_order(probe))

    async def _open(self) -> None:
        if self._pool is not None:
            return
        self._pool = AsyncConnectionPool(
            self._dsn,
            kwargs=_options("call"),
            min_size=self._size,
            max_size=self._size,
            max_waiting=WAITING_EACH * self._size,
            open=False,
        )
        await self._pool.open()

    async def _close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close(timeout=1)


def _options(use: str) -> dict[str, Any]:
    """What every connection has; the name is what the database's administrator sees it by."""
    return {"row_factory": dict_row, "connect_timeout": CONNECT_S, "application_name": f"govbus-{use}"}


async def _close_in_order(connection: AsyncConnection[DictRow]) -> None:
    """Whatever still runs on it ends first: its descriptor must not be another's while somebody listens to it."""
    try:
        with suppress(psycopg.Error):
            await connection.rollback()
    finally:
        await connection.close()
