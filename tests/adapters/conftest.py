"""Real servicers on a real loopback socket, without the bus: what an adapter does, apart from how it is reached.

The channel is plain because nothing but synthetic data passes and nothing listens after the test. Through the bus
the same servicers run in tests/integration.
"""

from __future__ import annotations

import bus.exchange  # noqa: F401  # isort: skip - before anything that imports gRPC, see bus.exchange.tls

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from adapters.administrative.store import open_units
from adapters.administrative.table import UnitTable, load_table
from adapters.population.generate import DEFAULT_SEED, DEFAULT_YEAR, generate
from adapters.population.records import PersonRecord
from adapters.population.sample import couples
from adapters.population.store import PersonStore
from adapters.sql import SqlStore
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database
from tests.adapters.services import Services, services_running

PEOPLE = 10_000
Serve = Callable[..., Awaitable[grpc.aio.Channel]]


class Unhurried:
    """For a store that is asked without a call: no deadline, and a refusal is an exception."""

    def time_remaining(self) -> float | None:
        return None

    async def abort(self, code: grpc.StatusCode, text: str) -> None:
        raise AssertionError(f"refused: {code}, {text}")


AT_LEISURE: Any = Unhurried()


async def unheard(_: bool) -> None:
    """For a store whose server tells nobody of its health."""


@pytest.fixture(scope="session")
def table() -> UnitTable:
    return load_table()


@pytest.fixture
async def loopback() -> AsyncIterator[Serve]:
    """Serves (add_to_server, servicer) pairs and returns a channel to them."""
    async with AsyncExitStack() as stack:

        async def serve(*servicers: tuple[Callable[[Any, grpc.aio.Server], None], Any]) -> grpc.aio.Channel:
            server = grpc.aio.server()
            for add, servicer in servicers:
                add(servicer, server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, None)
            return await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))

        yield serve


@pytest.fixture(scope="session")
def units_database(postgres_server: Postgres) -> Database:
    """Read by every test that asks for units; the first one loads the lists."""
    return postgres_server.database("test_units")


@pytest.fixture
async def unit_store(units_database: Database) -> AsyncIterator[SqlStore]:
    store = open_units(units_database.dsn)
    async with store.running(unheard):
        yield store


@pytest.fixture(scope="session")
def people(table: UnitTable) -> list[PersonRecord]:
    return list(generate(table, DEFAULT_SEED, PEOPLE, DEFAULT_YEAR))


@pytest.fixture(scope="session")
def filled_register(postgres_server: Postgres) -> Database:
    """The people of `people`, entered by the first test that asks for them."""
    return postgres_server.database("test_population")


@pytest.fixture
def register(filled_register: Database) -> Database:
    """As at the first start: whom another test entered is gone."""
    with filled_register.connect() as connection:
        if connection.execute("SELECT to_regclass('notice')").fetchone() != (None,):
            connection.execute(
                "WITH gone AS (DELETE FROM notice RETURNING person)"
                " DELETE FROM person USING gone WHERE number = gone.person"
            )
    return filled_register


@pytest.fixture
async def store(register: Database, people: list[PersonRecord]) -> AsyncIterator[PersonStore]:
    store = PersonStore(register.dsn, {"seed": "test"}, lambda: people)
    async with store.running(unheard):
        yield store


@pytest.fixture(scope="session")
def couple(people: list[PersonRecord]) -> tuple[PersonRecord, PersonRecord]:
    return next(couples(people))


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Services]:
    """Every adapter, running; see tests/adapters/services.py."""
    with services_running(tmp_path_factory.mktemp("services"), postgres_server) as found:
        yield found
