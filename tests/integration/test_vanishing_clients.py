"""A client that is gone, at whatever moment: each intent has one outcome, nothing is left at the provider."""

import asyncio
import threading
import time

import pytest

from native.digest import frame
from tests.support.gate_world import World, eventually
from tests.support.gate_world_nation import WATCH
from tests.support.raw_client import RawConnection
from tests.support.raw_provider import ProviderStream
from tests.support.raw_provider_answers import OPENING, hang

CANCELLED = 3
MESSAGE = frame(b"\x0a\x02hi")


def leave(connection: RawConnection, stream: int, how: str) -> None:
    if how == "reset":
        connection.reset(stream)
    else:
        connection.close()


HOW = pytest.mark.parametrize("how", ["reset", "disconnect"])


@HOW
@pytest.mark.parametrize("sent", [0, 3, 7], ids=["no body", "half a prefix", "half a message"])
def test_gone_before_the_body_is_whole_leaves_nothing(world: World, how: str, sent: int) -> None:
    request, connection, touched = world.request(), world.connect(), world.provider.calls
    stream = connection.open(request.headers())
    connection.send(stream, request.body[:sent])
    time.sleep(0.02)
    leave(connection, stream, how)
    time.sleep(0.1)
    assert world.provider.calls == touched
    assert not world.journal.poll().intents_of(request.id)
    connection.close()
    world.answers(world.request())


@HOW
def test_gone_at_once_after_the_body_ends_once_however_far_it_came(world: World, how: str) -> None:
    """Before the intent is answered, or a moment later: the journal alone tells."""
    requests, connection = [world.request() for _ in range(40)], None
    for at, request in enumerate(requests):
        if connection is None or how == "disconnect":
            connection = world.connect()
        stream = connection.open(request.headers())
        connection.send(stream, request.body, end=True)
        time.sleep(0.0002 * at)
        leave(connection, stream, how)
    assert connection is not None
    connection.close()
    eventually(lambda: world.journal.poll().settled())
    time.sleep(0.1)
    world.settle()
    ended = [
        outcome.receipt.outcome
        for request in requests
        for intent in world.journal.poll().intents_of(request.id)
        for outcome in world.journal.outcomes[intent.admission.sequence]
    ]
    assert set(ended) <= {1, CANCELLED}
    assert CANCELLED in ended


@HOW
def test_gone_while_the_provider_works_is_cancelled_there_too(world: World, how: str) -> None:
    world.provider.behaviour = hang
    request, connection = world.request(), world.connect()
    touched, cancelled = world.provider.calls, world.provider.cancelled
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    eventually(lambda: world.provider.calls == touched + 1)
    leave(connection, stream, how)
    receipt = world.outcome(request).receipt
    assert (receipt.outcome, receipt.reason, receipt.messages_released) == (CANCELLED, 0, 0)
    eventually(lambda: world.provider.cancelled == cancelled + 1)
    connection.close()


@HOW
def test_gone_while_a_held_answer_arrives_is_cancelled_and_nothing_was_released(world: World, how: str) -> None:
    begun = threading.Event()

    async def half(stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        await stream.send_data(MESSAGE[:6])
        begun.set()
        await hang(stream)

    world.provider.behaviour = half
    request, connection = world.request(), world.connect()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    assert begun.wait(5)
    time.sleep(0.05)
    leave(connection, stream, how)
    receipt = world.outcome(request).receipt
    assert (receipt.outcome, receipt.messages_released, receipt.bytes_released) == (CANCELLED, 0, 0)
    connection.close()


@HOW
def test_gone_in_mid_stream_is_cancelled_and_the_outcome_says_what_was_released(world: World, how: str) -> None:
    async def endless(stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        while not stream.reset.is_set():
            await stream.send_data(MESSAGE)
            await asyncio.sleep(0.01)

    world.provider.behaviour = endless
    request, connection = world.request(method=WATCH), world.connect()
    cancelled = world.provider.cancelled
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    seen = len(connection.wait_data(stream, 3 * len(MESSAGE)))
    leave(connection, stream, how)
    receipt = world.outcome(request).receipt
    assert receipt.outcome == CANCELLED
    assert receipt.messages_released >= 3
    assert receipt.bytes_released >= seen
    assert receipt.released_commitment
    eventually(lambda: world.provider.cancelled == cancelled + 1)
    connection.close()
