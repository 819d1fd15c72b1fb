"""The database goes away and comes back under calls: they are told so at once, and nothing has to be restarted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.adapters.licences import (  # isort: skip - before gRPC
    BY_NUMBER,
    GOOD,
    STATEMENTS,
    Asker,
    Ending,
    asking,
    ending,
    fill,
    until,
)

import grpc
import pytest

from adapters.population.records import PersonRecord, person_number
from adapters.population.store import Notice, PersonStore
from adapters.sql import SqlSource
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database
from tests.adapters.conftest import AT_LEISURE, Unhurried

AWAY = (grpc.StatusCode.UNAVAILABLE, "DATABASE_AWAY")
SLOW = (grpc.StatusCode.DEADLINE_EXCEEDED, "DATABASE_SLOW")
BUSY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "DATABASE_BUSY")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server that the test may hurt."""
    with Postgres(tmp_path) as found:
        yield found


async def ask_until(asker: Asker, ended: asyncio.Event) -> Counter[Ending]:
    """One call after another; how they ended."""
    told: Counter[Ending] = Counter()
    while not ended.is_set():
        told[await ending(asker.one(BY_NUMBER, number="L-0007"))] += 1
        await asyncio.sleep(0.01)
    return told


async def test_calls_are_told_that_the_database_is_away_and_answered_when_it_is_back(server: Postgres) -> None:
    database = server.database("licences")
    fill(database)
    async with asking(SqlSource(*STATEMENTS, dsn=database.dsn, connections=2)) as asker:
        ended = asyncio.Event()
        callers = [asyncio.create_task(ask_until(asker, ended)) for _ in range(3)]
        await until(lambda: asker.told.count(True) > 1)
        for _ in range(2):
            pid, seen = server.supervisor.pid, len(asker.told)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda seen=seen: False in asker.told[seen:])  # type: ignore[misc]
            await until(lambda: asker.told[-1])
        ended.set()
        told = sum(await asyncio.gather(*callers), Counter[Ending]())
        assert set(told) <= {GOOD, AWAY, BUSY}
        assert told[AWAY] > 0
        assert await asker.one(BY_NUMBER, number="L-0007")


async def test_newborn_outlives_a_killed_database_and_one_that_freezes_gives_one_number(
    server: Postgres, people: list[PersonRecord]
) -> None:
    told = list[bool]()
    first, second = (replace(people[0], number=person_number("01", 2026, True, serial)) for serial in (7, 8))

    async def hear(there: bool) -> None:
        told.append(there)

    store = PersonStore(server.database("register").dsn, {"seed": "1"}, lambda: people[:100])
    async with store.running(hear):
        number = await store.enter_newborn(AT_LEISURE, Notice("BV-00001", b"a", "gov/moj/civil-status"), lambda: first)
        pid = server.supervisor.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: False in told)
        await until(lambda: told[-1])
        assert await store.person(AT_LEISURE, number) == first
        assert (
            await store.enter_newborn(AT_LEISURE, Notice("BV-00001", b"a", "gov/moj/civil-status"), lambda: second)
            == number
        )

        with frozen(server), pytest.raises(AssertionError, match=r"refused: .* DATABASE_"):
            await store.enter_newborn(HURRIED, Notice("BV-00002", b"b", "gov/moj/civil-status"), lambda: second)
        # Whether the server went on with it when it thawed or not.
        again = await patiently(
            lambda: store.enter_newborn(AT_LEISURE, Notice("BV-00002", b"b", "gov/moj/civil-status"), lambda: second)
        )
        assert again == second.number


class Hurried(Unhurried):
    """A call with little time."""

    def time_remaining(self) -> float | None:
        return 1.0


HURRIED: Any = Hurried()


async def patiently(ask: Callable[[], Awaitable[str]]) -> str:
    """Asked again while it is refused."""
    async with asyncio.timeout(60.0):
        while True:
            try:
                return await ask()
            except AssertionError:
                await asyncio.sleep(0.2)


async def test_database_that_is_frozen_holds_no_call_beyond_its_time(server: Postgres) -> None:
    database = server.database("licences")
    fill(database)
    async with asking(SqlSource(*STATEMENTS, dsn=database.dsn, connections=2, longest_s=1.0)) as asker:
        assert await asker.one(BY_NUMBER, number="L-0007")
        with frozen(server):
            # A call that waited until the frozen server confirmed its end would be too late for its caller.
            assert await ending(asker.one(BY_NUMBER, 8.0, number="L-0007")) == SLOW
            await until(lambda: not asker.told[-1])
            assert await ending(asker.one(BY_NUMBER, number="L-0007")) == AWAY
        await until(lambda: asker.told[-1])
        assert await asker.one(BY_NUMBER, number="L-0007")


@contextmanager
def frozen(server: Postgres) -> Iterator[None]:
    """Every process of the server stands still, and its connections stay open."""
    pid = server.supervisor.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    found = [int(each) for each in (str(pid), *children)]
    try:
        for each in found:
            os.kill(each, signal.SIGSTOP)
        yield
    finally:
        for each in found:
            os.kill(each, signal.SIGCONT)


async def test_connections_that_broke_while_idle_fail_no_call(database: Database) -> None:
    fill(database)
    async with asking(SqlSource(*STATEMENTS, dsn=database.dsn, connections=3)) as asker:
        await asyncio.gather(*(asker.one(BY_NUMBER, number="L-0007") for _ in range(9)))
        with database.connect(autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND application_name = 'govbus-call'"
            ).fetchall()
        assert ended  # every connection there was: one to three
        for _ in range(6):
            assert await asker.one(BY_NUMBER, number="L-0007")
        assert False not in asker.told
