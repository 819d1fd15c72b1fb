"""Real servicers on a real loopback socket, without the bus: what an adapter does is tested apart from how it is reached.

The channel is plain because nothing but synthetic data passes and nothing listens after the test. Through the bus
the same servicers run in tests/integration.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from adapters.administrative.table import UnitTable, load_table

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
