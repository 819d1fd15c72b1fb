"""Check 10: the body is one whole message, not compressed, at most 4 MiB, and the one that the client committed to."""

import os

import pytest

from bus.exchange.reasons import Reason
from native.digest import frame
from tests.support.gate_world import World
from tests.support.gate_world_nation import CALLER, WATCH
from tests.support.raw_client_forge import Request, commitment_of

LIMIT = 4 * 1024 * 1024
MESSAGE = b"\x0a\x02hi"
BODY = frame(MESSAGE)


def test_altered_body_is_refused(world: World) -> None:
    for place in range(5, len(BODY)):
        altered = BODY[:place] + bytes([BODY[place] ^ 1]) + BODY[place + 1 :]
        world.refuses(world.request().but(body=altered), Reason.BODY_COMMITMENT_MISMATCH)


def test_another_message_is_refused(world: World) -> None:
    world.refuses(world.request().but(body=frame(b"\x0a\x02ho")), Reason.BODY_COMMITMENT_MISMATCH)
    world.refuses(world.request().but(body=frame(b"")), Reason.BODY_COMMITMENT_MISMATCH)


def test_another_salt_is_refused(world: World) -> None:
    world.refuses(world.request().but(salt=os.urandom(32)), Reason.BODY_COMMITMENT_MISMATCH)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.MESSAGE_COUNT_INVALID),
        (BODY + BODY, Reason.MESSAGE_COUNT_INVALID),
        (BODY + frame(b""), Reason.MESSAGE_COUNT_INVALID),
        (frame(b"") * 3, Reason.MESSAGE_COUNT_INVALID),
        (BODY + b"\0", Reason.MESSAGE_COUNT_INVALID),
        (b"\1" + BODY[1:], Reason.COMPRESSION_NOT_SUPPORTED),
        (b"\2" + BODY[1:], Reason.FRAME_INVALID),
        (b"\xff" * 5, Reason.FRAME_INVALID),
        (b"\0\xff\xff\xff\xff" + MESSAGE, Reason.BODY_TOO_LARGE),
        (b"\0" + (LIMIT + 1).to_bytes(4, "big"), Reason.BODY_TOO_LARGE),
        *((BODY[:size], Reason.FRAME_INVALID) for size in range(1, len(BODY))),
    ],
)
@pytest.mark.parametrize("method", ["unary", "stream"])
def test_body_that_is_not_one_message_is_refused_though_it_is_signed(
    world: World, body: bytes, reason: Reason, method: str
) -> None:
    named = {"method": WATCH} if method == "stream" else {}
    request = world.request(body=body, **named)
    world.refuses(request, reason)


def test_request_without_a_body_is_refused(world: World) -> None:
    request, connection = world.request(), world.connection()
    stream = connection.open(request.headers(), end=True)
    world.refuses(request, Reason.MESSAGE_COUNT_INVALID, answer=connection.answer(stream))


def test_request_that_ends_in_trailers_without_a_body_is_refused(world: World) -> None:
    request, connection = world.request(), world.connection()
    stream = connection.open(request.headers())
    connection.trailers(stream, [("x-a", "b")])
    world.refuses(request, Reason.MESSAGE_COUNT_INVALID, answer=connection.answer(stream))


def test_request_trailers_go_no_further(world: World) -> None:
    request, connection = world.request(), world.connection()
    stream = connection.open(request.headers())
    connection.send(stream, request.body)
    connection.trailers(stream, [("x-a", "b"), ("govbus-admission-bin", "AAAA"), ("govbus-x", "y")])
    assert connection.answer(stream).code == 0
    assert world.provider.seen[-1].trailers == []


def test_body_in_pieces_is_the_same_body(world: World) -> None:
    connection = world.connection()
    for cut in range(1, len(BODY)):
        request = world.request()
        stream = connection.open(request.headers())
        connection.send(stream, request.body, pieces=[cut], end=True)
        assert connection.answer(stream).code == 0
    request = world.request()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, pieces=range(1, len(BODY)), end=True)
    assert connection.answer(stream).code == 0
    assert world.provider.seen[-1].body == BODY


def test_empty_message_is_a_message(world: World) -> None:
    world.answers(world.request(message=b""))


def test_largest_message_passes_both_ways_and_one_byte_more_does_not(world: World) -> None:
    largest = b"\x0a\xfc\xff\xff\x01" + bytes(LIMIT - 5)
    request = world.request(message=largest)
    assert len(world.answers(request).data) == LIMIT + 5
    assert world.provider.seen[-1].body == frame(largest)
    body = b"\0" + (LIMIT + 1).to_bytes(4, "big") + bytes(LIMIT + 1)
    world.refuses(world.request(body=body), Reason.BODY_TOO_LARGE)


def test_flood_behind_an_announced_length_is_not_taken(world: World) -> None:
    request = world.request(body=BODY + bytes(8 * LIMIT))
    with world.connect() as connection:
        answer = connection.call(request.headers(), request.body)
    world.refuses(request, Reason.MESSAGE_COUNT_INVALID, answer=answer)


def test_body_is_judged_by_the_commitment_that_was_signed(world: World) -> None:
    salt = os.urandom(32)
    request = Request.unsigned(world.base, body_commitment=commitment_of(salt, frame(b"\x0a\x02ho")))
    world.refuses(request.but(salt=salt).signed(world.signer(CALLER)), Reason.BODY_COMMITMENT_MISMATCH)
