"""Floods cost their sender the connection; whoever else is connected goes on."""

import time
from collections.abc import Callable

import pytest

from bus.exchange.reasons import Reason
from tests.support.gate_world import World
from tests.support.raw_client import RawConnection


def resets(connection: RawConnection, world: World) -> None:
    headers = world.request().headers()
    for _ in range(2000):
        stream = connection.open(headers)
        connection.reset(stream)


def empty_frames(connection: RawConnection, world: World) -> None:
    stream = connection.open(world.request().headers())
    for _ in range(2000):
        connection.h2.send_data(stream, b"")
        connection.flush()


@pytest.mark.parametrize("flood", [resets, empty_frames])
def test_flood_ends_its_own_connection_only(world: World, flood: Callable[[RawConnection, World], None]) -> None:
    world.answers(world.request())
    kept, touched = world.connection(), world.provider.calls
    with world.connect() as connection:
        flood(connection, world)
        assert connection.ended()
    assert world.provider.calls == touched
    world.answers(world.request())
    assert world.connection() is kept


def test_a_repeated_request_cannot_fill_the_journal(world: World) -> None:
    request, copies = world.request(), 600
    world.answers(request)
    before = world.broker.statistics().get("govbus.refusals_unrecorded", 0)
    with world.connect() as connection:
        started = time.monotonic()
        for _ in range(copies):
            assert connection.call(request.headers(), request.body).refusal == (Reason.REPLAYED, {})
        seconds = time.monotonic() - started
    world.answers(world.request())
    recorded = len(world.journal.poll().refusals[request.id])
    assert recorded <= 100 * (seconds + 2)
    # Nothing is hidden: what is not in the journal is counted.
    assert recorded + world.broker.statistics()["govbus.refusals_unrecorded"] - before == copies
