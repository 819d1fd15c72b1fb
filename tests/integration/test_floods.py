"""Floods cost their sender the connection; whoever else is connected goes on."""

from collections.abc import Callable

import pytest

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
