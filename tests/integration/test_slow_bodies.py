"""A body that takes its time is judged when it is whole: by the request's end and by the policy then in force."""

import asyncio
import threading
import time

from bus.exchange.reasons import Reason
from tests.support.gate_world import World
from tests.support.gate_world_nation import WATCH
from tests.support.raw_client import Answer
from tests.support.raw_client_forge import Request
from tests.support.raw_provider import ProviderStream
from tests.support.raw_provider_answers import OPENING


def open_without_deadline(world: World, request: Request) -> int:
    """Headers only, and nothing by which Envoy could end the wait."""
    return world.connection().open(request.headers(timeout=None))


def send_late(world: World, stream: int, request: Request) -> Answer:
    connection = world.connection()
    connection.send(stream, request.body, end=True)
    return connection.answer(stream)


def test_body_that_comes_after_the_requests_end_reaches_nobody(world: World) -> None:
    request = world.request(lifetime_ms=700)
    stream = open_without_deadline(world, request)
    touched = world.provider.calls
    time.sleep(1.0)
    answer = send_late(world, stream, request)
    assert answer.refusal == (Reason.LIFETIME_INVALID, {})
    assert world.provider.calls == touched
    assert not world.journal.poll().intents_of(request.id)


def test_body_that_comes_after_the_grant_was_revoked_reaches_nobody(world: World) -> None:
    request = world.request()
    stream = open_without_deadline(world, request)
    touched = world.provider.calls
    with world.policy() as document:
        grants = list(document["grants"])
        document["grants"] = [grant for grant in grants if grant["id"] != "grant-1"]
    try:
        answer = send_late(world, stream, request)
        assert answer.refusal == (Reason.NO_GRANT, {})
        assert world.provider.calls == touched
        assert not world.journal.poll().intents_of(request.id)
    finally:
        with world.policy() as document:
            document["grants"] = grants


def test_body_that_comes_under_another_policy_is_admitted_by_that_policy(world: World) -> None:
    request = world.request()
    stream = open_without_deadline(world, request)
    version = world.publish()
    assert send_late(world, stream, request).code == 0
    assert world.intent(request).admission.snapshot_version == version


def test_stream_that_is_cut_says_exactly_what_got_out(world: World) -> None:
    go_on = threading.Event()

    async def one_and_a_compressed_one(stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        await stream.send_data(stream.body)
        await asyncio.to_thread(go_on.wait, 10)
        await stream.send_data(stream.body + b"\1" + stream.body[1:])
        await stream.reset.wait()

    world.provider.behaviour = one_and_a_compressed_one
    request, connection = world.request(method=WATCH), world.connect()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    connection.wait_data(stream, len(request.body))
    go_on.set()
    answer = connection.answer(stream)
    connection.close()
    assert answer.reset is not None
    assert answer.data == request.body
    receipt = world.outcome(request).receipt
    assert (receipt.messages_released, receipt.bytes_released) == (1, len(request.body))
