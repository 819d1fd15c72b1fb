"""Real servicers on a real loopback socket, without the bus: what an adapter does, apart from how it is reached.

The channel is plain because nothing but synthetic data passes and nothing listens after the test. Through the bus
the same servicers run in tests/integration.
"""

from __future__ import annotations

import bus.exchange  # noqa: F401  # isort: skip - before anything that imports gRPC, see bus.exchange.tls

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from adapters.administrative.table import UnitTable, load_table
from adapters.population.generate import DEFAULT_PEOPLE, DEFAULT_SEED, DEFAULT_YEAR, generate
from adapters.population.records import PersonRecord
from adapters.population.sample import couples
from adapters.population.store import SqliteStore

Serve = Callable[..., Awaitable[grpc.aio.Channel]]


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
def people(table: UnitTable) -> list[PersonRecord]:
    return generate(table, DEFAULT_SEED, DEFAULT_PEOPLE, DEFAULT_YEAR)


@pytest.fixture
def store(tmp_path: Path, people: list[PersonRecord]) -> Iterator[SqliteStore]:
    store = SqliteStore(tmp_path / "population.db")
    store.fill({"seed": "test"}, lambda: people)
    yield store
    store.close()


@pytest.fixture(scope="session")
def couple(people: list[PersonRecord]) -> tuple[PersonRecord, PersonRecord]:
    return next(couples(people))
