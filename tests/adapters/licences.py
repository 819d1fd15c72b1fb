"""A ministry's table, and its source asked as a servicer asks it: over a real socket, with real deadlines.

The service is one method that takes the question as JSON, so that a test can ask anything; the tutorial's test serves
the same table by a contract, through the bus.
"""

from __future__ import annotations

import bus.exchange  # noqa: F401  # isort: skip - before anything that imports gRPC

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry import trace

from adapters.sql import PagedStatement, SqlSource, Statement
from bus.engines.postgres_database import Database

TABLE = """
CREATE TABLE licence (number text PRIMARY KEY, holder text NOT NULL, ward text NOT NULL, issued int NOT NULL);
INSERT INTO licence SELECT 'L-' || lpad(n::text, 4, '0'), 'Công ty ' || n,
    CASE n % 2 WHEN 0 THEN '00004' ELSE '00070' END, 20200101 + n % 3
    FROM generate_series(1, 250) AS n;
"""
BY_NUMBER = Statement("licence.by_number", "SELECT number, holder FROM licence WHERE number = %(number)s")
OF_WARD = PagedStatement(
    "licence.of_ward",
    "SELECT number, holder FROM licence WHERE ward = %(ward)s AND number > %(after_number)s"
    " ORDER BY number LIMIT %(size)s",
    start={"number": ""},
)
BY_DAY = PagedStatement(
    "licence.by_day",
    "SELECT number, issued FROM licence WHERE (issued, number) > (%(after_issued)s, %(after_number)s)"
    " ORDER BY issued, number LIMIT %(size)s",
    start={"issued": -1, "number": ""},
)
SLOW = Statement("test.slow", "SELECT pg_sleep(%(pause)s)::text AS slept")
STATEMENTS = (BY_NUMBER, OF_WARD, BY_DAY, SLOW)
CAP_S = 60.0
Ending = tuple[grpc.StatusCode, str]
GOOD: Ending = (grpc.StatusCode.OK, "")


def fill(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        connection.execute(TABLE)


@dataclass
class Asker:
    """A client of the one method, and what the source told of its database."""

    channel: grpc.aio.Channel
    told: list[bool] = field(default_factory=list)

    async def one(self, statement: Statement, seconds: float = CAP_S, **values: object) -> Any:
        return await self._ask(seconds, name=statement.name, values=values)

    async def page(self, statement: Statement, size: int, token: str = "", **values: object) -> Any:
        return await self._ask(CAP_S, name=statement.name, values=values, size=size, token=token)

    async def _ask(self, seconds: float, **said: object) -> Any:
        ask: Any = self.channel.unary_unary("/test.v1.Licences/Ask")
        return json.loads(await ask(json.dumps(said).encode(), timeout=seconds))


@asynccontextmanager
async def asking(source: SqlSource, *statements: Statement) -> AsyncIterator[Asker]:
    """The source, running, behind a server on a loopback socket."""
    by_name = {statement.name: statement for statement in statements or STATEMENTS}

    async def ask(body: bytes, context: Any) -> bytes:
        said = json.loads(body)
        statement = by_name[said["name"]]
        with trace.get_tracer("test").start_as_current_span("call"):
            if "size" not in said:
                found: Any = await source.fetch_one(context, statement, said["values"])
            else:
                assert isinstance(statement, PagedStatement)
                page = await source.fetch_page(context, statement, said["values"], said["size"], said["token"])
                found = {"rows": page.rows, "next": page.next_token}
        return json.dumps(found).encode()

    server = grpc.aio.server()
    handler: Any = grpc.unary_unary_rpc_method_handler(ask)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.v1.Licences", {"Ask": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        asker = Asker(channel)

        async def hear(there: bool) -> None:
            asker.told.append(there)

        async with source.running(hear):
            await server.start()
            try:
                yield asker
            finally:
                await server.stop(0)


async def ending(asked: Awaitable[Any]) -> Ending:
    """Code of a call, and the first word of the text with which it is refused."""
    try:
        await asked
    except grpc.aio.AioRpcError as error:
        return error.code(), (error.details() or "").partition(":")[0]
    return GOOD


async def refused(asked: Awaitable[Any]) -> Ending:
    """As `ending` of a call that is not answered."""
    found = await ending(asked)
    assert found != GOOD
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Waits for a condition, for as long as a very slow machine takes."""
    async with asyncio.timeout(CAP_S):
        while not condition():  # noqa: ASYNC110 - what is waited for lies in another process
            await asyncio.sleep(0.05)


def sleeping(database: Database) -> int:
    """How many sessions of the database are in a slow statement now."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%'"
            " AND pid <> pg_backend_pid()"
        ).fetchone()
    assert row is not None
    return int(row[0])
