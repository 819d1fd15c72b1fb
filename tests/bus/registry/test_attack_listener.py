"""The enrolment listener against whoever can reach it without a token. It lives in the supervisor's process: what it
holds open for strangers, the registry and the publisher cannot open."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.engines.postgres_database import Database
from tests.support.enrolment import Enrolling, Request, enrolling

STRANGERS = 300
HELD = 100
"""More than the listener's limit, and far fewer than STRANGERS."""


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[Enrolling]:
    with enrolling(tmp_path / "a state", database) as world:
        yield world


def test_strangers_who_connect_and_say_nothing_are_not_held_open(world: Enrolling) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with contextlib.ExitStack() as stack:
        strangers = [stack.enter_context(_connected(world.server.port)) for _ in range(STRANGERS)]
        _wait_closed(strangers, STRANGERS - HELD)
        assert len(os.listdir("/proc/self/fd")) - before - STRANGERS <= HELD
        _wait_closed(strangers, STRANGERS)
    assert world.ask(Request(world.token()).build()) == "enrolled"


def _connected(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 10)
    connection.setblocking(False)
    return connection


def _wait_closed(strangers: list[socket.socket], count: int) -> None:
    end = time.monotonic() + 60
    while sum(map(_closed, strangers)) < count:
        assert time.monotonic() < end, "strangers are still connected"
        time.sleep(0.05)


def _closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
