"""Server streams: messages pass as they come, the seal waits for the outcome, and what must end ends unsealed."""

import asyncio
import os
import threading

import pytest
from h2.errors import ErrorCodes

from bus.exchange import metadata
from bus.exchange.meanings import meaning
from bus.exchange.reasons import Reason
from native.digest import frame
from native.headers import Receipt
from tests.support.gate_world import World, eventually
from tests.support.gate_world_nation import CALLER, WATCH
from tests.support.raw_provider import Behaviour, ProviderStream
from tests.support.raw_provider_answers import OPENING, Draft, honest

MESSAGE = frame(b"\x0a\x02hi")
FAILED = 2


class Taps:
    """Lets a stream run message by message."""

    def __init__(self) -> None:
        self.tokens = threading.Semaphore(0)
        self.ending: Behaviour | None = None

    async def behave(self, stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        sent = 0
        while self.ending is None:
            if self.tokens.acquire(blocking=False):
                await stream.send_data(MESSAGE)
                sent += 1
            elif stream.reset.is_set():
                return
            else:
                await asyncio.sleep(0.005)
        if self.ending is not honest_end:
            await self.ending(stream)
        else:
            await stream.send_headers(stream.draft.but(body=MESSAGE * sent).trailers(), end=True)


async def honest_end(stream: ProviderStream) -> None:
    """A mark: the trailers that fit."""


def ended_by(change: dict[str, object]) -> Behaviour:
    async def end(stream: ProviderStream) -> None:
        draft: Draft = stream.draft
        await stream.send_headers(draft.but(**change).trailers(), end=True)

    return end


async def dies(stream: ProviderStream) -> None:
    stream.die()


async def resets(stream: ProviderStream) -> None:
    await stream.send_reset(ErrorCodes.INTERNAL_ERROR)


async def too_large(stream: ProviderStream) -> None:
    await stream.send_data(b"\0\x00\x40\x00\x01" + bytes(1000))


async def compressed(stream: ProviderStream) -> None:
    await stream.send_data(b"\1" + MESSAGE[1:])


async def without_trailers(stream: ProviderStream) -> None:
    await stream.send_data(b"", end=True)


def test_messages_pass_before_the_end_and_the_seal_comes_with_it(world: World) -> None:
    taps = Taps()
    world.provider.behaviour = taps.behave
    request, connection = world.request(method=WATCH), world.connection()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    for count in (1, 2, 3):
        taps.tokens.release()
        assert connection.wait_data(stream, count * len(MESSAGE)) == MESSAGE * count
    assert not world.journal.poll().outcomes.get(world.intent(request).admission.sequence)
    taps.ending = honest_end
    answer = connection.answer(stream)
    assert answer.code == 0
    assert world.outcome(request).receipt.messages_released == 3


UNSEALED: dict[str, tuple[Behaviour, Reason]] = {
    "unsigned": (ended_by({"left_out": frozenset({metadata.RESPONSE_SIGNATURE})}), Reason.PROVIDER_UNSIGNED),
    "other messages": (ended_by({"body": MESSAGE}), Reason.RESPONSE_MISMATCH),
    "other request": (ended_by({"claims": {"request_digest": os.urandom(32)}}), Reason.RESPONSE_MISMATCH),
    "no trailers": (without_trailers, Reason.PROVIDER_UNSIGNED),
    "compressed message": (compressed, Reason.RESPONSE_MISMATCH),
    "message too large": (too_large, Reason.RESPONSE_TOO_LARGE),
    "died": (dies, Reason.PROVIDER_LOST),
    "reset": (resets, Reason.PROVIDER_LOST),
}


@pytest.mark.parametrize("case", UNSEALED)
def test_stream_that_ends_wrongly_is_never_sealed_and_its_outcome_says_what_got_out(world: World, case: str) -> None:
    taps = Taps()
    world.provider.behaviour = taps.behave
    ending, reason = UNSEALED[case]
    request, connection = world.request(method=WATCH), world.connection()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    taps.tokens.release(2)
    connection.wait_data(stream, 2 * len(MESSAGE))
    taps.ending = ending
    answer = connection.answer(stream)
    if answer.reset is None:
        assert answer.refusal == (reason, {})
        assert answer.code == meaning(reason).code.value[0]
    assert not answer.value(metadata.RESPONSE_SIGNATURE)
    receipt: Receipt = world.outcome(request).receipt
    assert (receipt.outcome, receipt.reason) == (FAILED, meaning(reason).number)
    assert receipt.messages_released >= 2
    assert answer.data.startswith(MESSAGE * 2)


def test_deadline_ends_a_stream_unsealed(world: World) -> None:
    taps = Taps()
    world.provider.behaviour = taps.behave
    request, connection = world.request(method=WATCH), world.connection()
    stream = connection.open(request.headers(timeout="400m"))
    connection.send(stream, request.body, end=True)
    taps.tokens.release(2)
    answer = connection.answer(stream)
    assert answer.data == MESSAGE * 2
    assert not answer.value(metadata.RESPONSE_SIGNATURE)
    receipt = world.outcome(request).receipt
    assert (receipt.outcome, receipt.reason, receipt.messages_released) == (FAILED, meaning(Reason.DEADLINE).number, 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("grant", Reason.NO_GRANT),
        ("key", Reason.KEY_UNKNOWN),
        ("certificate", Reason.CERTIFICATE_NOT_LIVE),
        ("suspension", Reason.SUBSYSTEM_SUSPENDED),
    ],
)
def test_open_stream_is_judged_again_by_the_next_policy(world: World, change: str, reason: Reason) -> None:
    taps = Taps()
    world.provider.behaviour = taps.behave
    request, connection = world.request(method=WATCH), world.connect()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    taps.tokens.release()
    connection.wait_data(stream, len(MESSAGE))
    before = world.instance.version
    world.publish()  # a policy that changes nothing leaves it running
    taps.tokens.release()
    connection.wait_data(stream, 2 * len(MESSAGE))
    with world.policy() as document:
        kept = {key: list(document[key]) for key in ("grants", "subsystems")}
        withdraw(document, change)
    taps.tokens.release()
    answer = connection.answer(stream)
    connection.close()
    with world.policy() as document:
        restore(document, kept)
    assert answer.reset is not None
    assert answer.data == MESSAGE * 2
    eventually(lambda: world.provider.cancelled)
    receipt = world.outcome(request).receipt
    assert (receipt.outcome, receipt.reason) == (FAILED, meaning(reason).number)
    assert receipt.snapshot_version == world.intent(request).admission.snapshot_version == before
    world.provider.behaviour = honest
    world.answers(world.request())


_KEPT: dict[str, object] = {}


def withdraw(document: dict[str, list[dict[str, object]]], change: str) -> None:
    (caller,) = (entry for entry in document["subsystems"] if entry["id"] == CALLER)
    _KEPT.clear()
    _KEPT.update(caller)
    if change == "grant":
        document["grants"] = [grant for grant in document["grants"] if grant["id"] != "grant-1"]
    elif change == "key":
        caller["keys"] = []
    elif change == "certificate":
        caller["certificates"] = []
    else:
        caller["active"] = False


def restore(document: dict[str, list[dict[str, object]]], kept: dict[str, list[dict[str, object]]]) -> None:
    document["grants"] = kept["grants"]
    (caller,) = (entry for entry in document["subsystems"] if entry["id"] == CALLER)
    caller.clear()
    caller.update(_KEPT)
