"""A provider against whoever can reach its port and has no certificate."""

import asyncio

from tests.bus.exchange.world import World, ask, running

STRANGERS = 100


async def test_strangers_who_connect_and_say_nothing_are_not_held_open(world: World) -> None:
    async with running(world) as bus:
        strangers = [await asyncio.open_connection("127.0.0.1", bus.server.port) for _ in range(STRANGERS)]
        try:
            assert (await bus.stub.GetUnit(ask())).unit.code.code == "01"
            async with asyncio.timeout(60):
                await asyncio.gather(*(ended(reader) for reader, _ in strangers))
        finally:
            for _, writer in strangers:
                writer.close()


async def ended(reader: asyncio.StreamReader) -> None:
    """Until the provider closes; what it says before, a TLS alert perhaps, is read away."""
    try:
        while await reader.read(4096):
            pass
    except ConnectionError:
        return
