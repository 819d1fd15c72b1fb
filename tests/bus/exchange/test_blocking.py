"""The same channel for code without an event loop."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.exchange import call_context, exceptions
from bus.exchange.blocking import BlockingChannel
from bus.exchange.client import connect_blocking
from bus.exchange.errors import ProviderError
from tests.bus.exchange.world import BROKER, Bus, World, ask, running


@contextmanager
def served(world: World) -> Iterator[tuple[BlockingChannel, Bus]]:
    """A bus on a loop of its own, and a blocking channel for the test's thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    manager = running(world)
    bus: Bus = asyncio.run_coroutine_threadsafe(manager.__aenter__(), loop).result()
    try:
        with connect_blocking(world.client_config((BROKER, bus.broker.port))) as channel:
            yield channel, bus
    finally:
        asyncio.run_coroutine_threadsafe(manager.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def stub_of(channel: Any) -> Any:
    return rpc.AdministrativeUnitServiceStub(channel)


def test_stock_stub_calls_and_streams_without_a_loop(world: World) -> None:
    with served(world) as (channel, bus):
        assert stub_of(channel).GetUnit(ask("02")).unit.code.code == "02"
        listed = stub_of(channel).ListUnits(pb.ListUnitsRequest(code_list_version="gso-2025-07"))
        assert [message.units[0].code.code for message in listed] == ["01", "02", "03"]
        with pytest.raises(ProviderError):
            stub_of(channel).GetUnit(ask("99"))
        with pytest.raises(exceptions.StreamNotSupported):
            channel.stream_unary("/a.B/C")(iter(()))
        assert len(bus.units.calls) == 3


def test_context_of_the_calling_thread_goes_with_the_call(world: World) -> None:
    with served(world) as (channel, bus):
        with call_context(case_id="outer"):
            stub_of(channel).GetUnit(ask())
        stub_of(channel.using(case_id="own")).GetUnit(ask())
        assert [call.case_id for call in bus.units.calls] == ["outer", "own"]


def test_calls_of_many_threads_are_signed_together(world: World) -> None:
    with served(world) as (channel, _), ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: stub_of(channel).GetUnit(ask()), range(64)))
        assert len(answers) == 64
        assert channel.mean_batch_size > 1
