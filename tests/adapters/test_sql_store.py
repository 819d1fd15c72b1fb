"""A program's own database: made at the first start, whole or not at all; what was acknowledged is on the disk."""

from __future__ import annotations

from tests.adapters.conftest import AT_LEISURE, unheard  # isort: skip - before gRPC

import asyncio

import pytest

from adapters.runtime import CannotStart
from adapters.sql import Connection, Schema, SqlStore, Statement
from bus.engines.postgres_database import Database

COUNT = Statement("thing.count", "SELECT count(*) AS things FROM thing")
SCHEMA = Schema("things", ("CREATE TABLE thing (number int PRIMARY KEY)",))
GROWN = Schema("things", (*SCHEMA.steps, "ALTER TABLE thing ADD COLUMN name text NOT NULL DEFAULT ''"))


async def two(connection: Connection) -> None:
    """Two things, unless they are there."""
    if not await (await connection.execute("SELECT number FROM thing")).fetchone():
        await connection.execute("INSERT INTO thing VALUES (1), (2)")


async def things(store: SqlStore) -> int:
    row = await store.fetch_one(AT_LEISURE, COUNT, {})
    assert row is not None
    return int(row["things"])


async def start(store: SqlStore) -> int:
    async with store.running(unheard):
        return await things(store)


async def test_start_that_died_leaves_nothing_and_the_next_one_begins_again(database: Database) -> None:
    async def dies(connection: Connection) -> None:
        await two(connection)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await start(SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA, fill=dies))
    with database.connect() as connection:
        assert connection.execute("SELECT to_regclass('thing')").fetchone() == (None,)
    assert await start(SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA, fill=two)) == 2


async def test_two_starts_at_once_fill_once(database: Database) -> None:
    stores = [SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA, fill=two) for _ in range(3)]
    assert await asyncio.gather(*(start(store) for store in stores)) == [2, 2, 2]


async def test_schema_grows_and_a_program_of_before_is_told(database: Database) -> None:
    await start(SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA, fill=two))
    assert await start(SqlStore(COUNT, dsn=database.dsn, schema=GROWN)) == 2
    with pytest.raises(CannotStart, match="newer things"):
        await start(SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA))


async def test_database_of_another_program_is_left_alone(database: Database) -> None:
    await start(SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA))
    with pytest.raises(CannotStart, match="is that of things; give others one of its own"):
        await start(SqlStore(COUNT, dsn=database.dsn, schema=Schema("others", SCHEMA.steps)))


async def test_write_waits_for_the_disk_whatever_the_server_would_rather_do(database: Database) -> None:
    with database.connect(autocommit=True) as connection:
        connection.execute(f'ALTER ROLE "{database.name}" SET synchronous_commit = off')

    async def asked(connection: Connection) -> str:
        row = await (await connection.execute("SHOW synchronous_commit")).fetchone()
        assert row is not None
        return str(row["synchronous_commit"])

    store = SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA)
    async with store.running(unheard):
        assert await store.write(AT_LEISURE, "thing.enter", asked) == "on"


async def test_write_on_connections_that_broke_is_done_once(database: Database) -> None:
    async def enter(connection: Connection) -> None:
        await connection.execute("INSERT INTO thing VALUES (7)")

    store = SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA, connections=2)
    async with store.running(unheard):
        assert await things(store) == 0
        with database.connect(autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND application_name = 'govbus-call'"
            )
        await store.write(AT_LEISURE, "thing.enter", enter)
        assert await things(store) == 1


async def test_write_that_fails_changes_nothing(database: Database) -> None:
    async def half(connection: Connection) -> None:
        await connection.execute("INSERT INTO thing VALUES (7)")
        raise ZeroDivisionError

    store = SqlStore(COUNT, dsn=database.dsn, schema=SCHEMA)
    async with store.running(unheard):
        with pytest.raises(ZeroDivisionError):
            await store.write(AT_LEISURE, "thing.enter", half)
        assert await things(store) == 0
