"""Check 11: only this provider's signed answer to this request reaches the client; anything else becomes a refusal."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from h2.errors import ErrorCodes

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from native.digest import frame
from pki.keys import generate_private_key
from pki.signer import KeySigner
from tests.support.gate_world import World
from tests.support.gate_world_nation import ABSENT, CALLER, TWIN, WATCH
from tests.support.gate_world_receipts import verify_receipt
from tests.support.raw_client import Headers
from tests.support.raw_provider import Behaviour, ProviderStream
from tests.support.raw_provider_answers import OPENING, Draft, answering, hang, waiting

LIMIT = 4 * 1024 * 1024
HIGH = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PARTS = [metadata.RESPONSE, metadata.RESPONSE_SIGNATURE, metadata.RESPONSE_SALT]


def raising_s(signature: bytes) -> bytes:
    """The same signature with s in the upper half."""
    return signature[:-32] + (HIGH - int.from_bytes(signature[-32:], "big")).to_bytes(32, "big")


Change = Callable[[Draft], Draft]


def without(key: str) -> Change:
    return lambda draft: draft.but(left_out=frozenset({key}))


def spoilt(key: str, how: Callable[[bytes], bytes]) -> Change:
    return lambda draft: draft.but(spoil={key: how})


def claiming(**claims: Any) -> Change:
    return lambda draft: draft.but(claims=claims)


def garbage(signature: bytes) -> bytes:
    return signature[:-64] + os.urandom(64)


UNSIGNED: dict[str, Change] = {
    "no parts at all": lambda draft: draft.but(left_out=frozenset(PARTS)),
    **{f"without {key}": without(key) for key in (*PARTS, "grpc-status")},
    **{f"{key} cut": spoilt(key, lambda value: value[:-1]) for key in PARTS},
    **{f"{key} too large": spoilt(key, lambda value: value + bytes(4096)) for key in PARTS},
    "status that is no number": lambda draft: without("grpc-status")(draft).but(extra=[("grpc-status", "ok")]),
    "two statuses": lambda draft: draft.but(extra=[("grpc-status", "0")]),
}
BADLY_SIGNED: dict[str, Change] = {
    "garbage": spoilt(metadata.RESPONSE_SIGNATURE, garbage),
    "high s": spoilt(metadata.RESPONSE_SIGNATURE, raising_s),
    "key nobody knows": lambda draft: draft.but(signer=KeySigner(generate_private_key())),
}
MISMATCHED: dict[str, Change] = {
    "for another request": claiming(request_digest=os.urandom(32)),
    "as another provider": lambda draft: claiming(provider=draft.provider.replace("population", "twin"))(draft),
    "other body": claiming(body_commitment=os.urandom(32)),
    "other salt": spoilt(metadata.RESPONSE_SALT, lambda _: os.urandom(32)),
    "other count": claiming(message_count=2),
    "other status": claiming(grpc_status=5),
    "text it did not sign": lambda draft: claiming(grpc_message_digest=b"")(draft.but(message="x")),
    "text twice": lambda draft: draft.but(message="a", extra=[("grpc-message", "a")]),
    "text that is missing": claiming(grpc_message_digest=os.urandom(32)),
    "details it did not sign": lambda draft: claiming(details_digest=b"")(draft.but(details=b"x")),
    "details that are missing": claiming(details_digest=os.urandom(32)),
    "success without a message": lambda draft: draft.but(body=b""),
    "error with a message": lambda draft: draft.but(status=5),
    "two messages": lambda draft: draft.but(body=draft.body * 2),
}


@pytest.mark.parametrize("case", UNSIGNED)
def test_answer_without_all_its_parts_is_replaced(world: World, case: str) -> None:
    world.provider.behaviour = answering(UNSIGNED[case])
    world.fails(world.request(), Reason.PROVIDER_UNSIGNED)


@pytest.mark.parametrize("key", PARTS)
def test_answer_with_a_part_twice_is_replaced(world: World, key: str) -> None:
    async def answer(stream: ProviderStream) -> None:
        trailers = stream.draft.trailers()
        await stream.send_headers(list(OPENING))
        await stream.send_data(stream.body)
        await stream.send_headers([*trailers, *(pair for pair in trailers if pair[0] == key)], end=True)

    world.provider.behaviour = answer
    world.fails(world.request(), Reason.PROVIDER_UNSIGNED)


@pytest.mark.parametrize("case", BADLY_SIGNED)
def test_answer_whose_signature_does_not_verify_is_replaced(world: World, case: str) -> None:
    world.provider.behaviour = answering(BADLY_SIGNED[case])
    world.fails(world.request(), Reason.RESPONSE_SIGNATURE_INVALID)


@pytest.mark.parametrize("case", MISMATCHED)
def test_answer_that_differs_from_what_was_signed_is_replaced(world: World, case: str) -> None:
    world.provider.behaviour = answering(MISMATCHED[case])
    world.fails(world.request(), Reason.RESPONSE_MISMATCH)


def test_answer_signed_by_another_providers_key_is_replaced(world: World) -> None:
    twin = world.signer(TWIN)
    world.provider.behaviour = answering(lambda draft: draft.but(signer=twin))
    world.fails(world.request(), Reason.RESPONSE_SIGNATURE_INVALID)


def test_answer_of_an_earlier_call_is_replaced(world: World) -> None:
    kept: list[Headers] = []

    async def keep(stream: ProviderStream) -> None:
        kept.append(stream.draft.trailers())
        await stream.send_headers(list(OPENING))
        await stream.send_data(stream.body)
        await stream.send_headers(kept[0], end=True)

    world.provider.behaviour = keep
    world.answers(world.request())
    world.fails(world.request(), Reason.RESPONSE_MISMATCH)


async def bare(stream: ProviderStream, headers: Headers, body: bytes) -> None:
    """Headers and body, and no trailers."""
    await stream.send_headers(headers, end=not body)
    if body:
        await stream.send_data(body, end=True)


def opened_by(headers: Headers) -> Behaviour:
    """A signed error behind these headers."""
    return answering(lambda draft: draft.but(body=b"", status=5, headers=headers))


def framed(body: bytes) -> Behaviour:
    """Honest trailers behind a body that is no message; the commitment says what it can."""

    async def answer(stream: ProviderStream) -> None:
        trailers = stream.draft.trailers()
        await stream.send_headers(list(OPENING))
        await stream.send_data(body)
        await stream.send_headers(trailers, end=True)

    return answer


PAGE = [(":status", "500"), ("content-type", "text/html")]
MALFORMED: dict[str, tuple[Behaviour, Reason]] = {
    "ended without trailers": (lambda s: bare(s, OPENING, s.body), Reason.PROVIDER_UNSIGNED),
    "headers and nothing else": (lambda s: bare(s, OPENING, b""), Reason.PROVIDER_UNSIGNED),
    "http error with a page": (lambda s: bare(s, PAGE, b"<h1>"), Reason.PROVIDER_UNSIGNED),
    "http error, trailers only": (lambda s: bare(s, [(":status", "404")], b""), Reason.PROVIDER_UNSIGNED),
    "http error, signed": (opened_by([(":status", "503"), OPENING[1]]), Reason.PROVIDER_UNSIGNED),
    "page, signed": (opened_by([OPENING[0], PAGE[1]]), Reason.PROVIDER_UNSIGNED),
    "no content type, signed": (opened_by(OPENING[:1]), Reason.PROVIDER_UNSIGNED),
    "compressed flag": (framed(b"\1" + frame(b"hi")[1:]), Reason.RESPONSE_MISMATCH),
    "half a message": (framed(frame(b"hi")[:-1]), Reason.RESPONSE_MISMATCH),
    "no message": (framed(b"\0\0"), Reason.RESPONSE_MISMATCH),
    "length of 4 GiB": (framed(b"\0\xff\xff\xff\xff"), Reason.RESPONSE_TOO_LARGE),
    "a byte too large": (framed(b"\0" + (LIMIT + 1).to_bytes(4, "big") + bytes(LIMIT + 1)), Reason.RESPONSE_TOO_LARGE),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_answer_that_is_no_grpc_answer_is_replaced(world: World, case: str) -> None:
    world.provider.behaviour, reason = MALFORMED[case]
    world.fails(world.request(), reason)


def test_largest_answer_that_nobody_signed_is_replaced(world: World) -> None:
    world.provider.behaviour = framed(frame(bytes(LIMIT)))
    world.fails(world.request(), Reason.RESPONSE_MISMATCH)


def errors(draft: Draft) -> Draft:
    return draft.but(body=b"", status=5, message="không có", details=b"\x08\x05")


def test_signed_error_is_the_providers_and_passes_unchanged(world: World) -> None:
    world.provider.behaviour = answering(errors)
    request = world.request()
    answer = world.send(request)
    assert (answer.code, answer.binary("grpc-status-details-bin")) == (5, b"\x08\x05")
    assert answer.value("grpc-message") == "kh%C3%B4ng c%C3%B3"
    assert answer.value(metadata.RESPONSE_SIGNATURE)
    receipt = verify_receipt(world, request, answer)
    assert (receipt.outcome, receipt.messages_released) == (1, 0)


def test_signed_error_with_headers_first_passes_too(world: World) -> None:
    async def answer(stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        await stream.send_headers(errors(stream.draft).trailers(), end=True)

    world.provider.behaviour = answer
    request = world.request()
    found = world.send(request)
    assert found.code == 5
    verify_receipt(world, request, found)


@pytest.mark.parametrize("method", ["unary", "stream"])
def test_provider_that_says_nothing_meets_the_deadline(world: World, method: str) -> None:
    world.provider.behaviour = hang
    request = world.request(**({"method": WATCH} if method == "stream" else {}))
    answer = world.connection().call(request.headers(timeout="300m"), request.body)
    world.fails(request, Reason.DEADLINE, answer=answer)
    verify_receipt(world, request, answer)


def test_provider_where_nobody_listens_was_not_called(world: World) -> None:
    request = world.request(provider=world.spiffe(ABSENT), grant_id="grant-absent")
    answer = world.send(request)
    world.fails(request, Reason.PROVIDER_UNREACHABLE, answer=answer)
    verify_receipt(world, request, answer)


async def dies(stream: ProviderStream) -> None:
    stream.die()


async def resets(stream: ProviderStream) -> None:
    await stream.send_reset(ErrorCodes.INTERNAL_ERROR)


async def no_http(stream: ProviderStream) -> None:
    stream.link.writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await stream.link.writer.drain()


@pytest.mark.parametrize("behaviour", [dies, resets, no_http])
def test_provider_lost_before_it_answered_may_have_acted(world: World, behaviour: Behaviour) -> None:
    world.provider.behaviour = behaviour
    request = world.request()
    answer = world.send(request)
    world.fails(request, Reason.PROVIDER_LOST, answer=answer)
    verify_receipt(world, request, answer)


async def refuses_stream(stream: ProviderStream) -> None:
    await stream.send_reset(ErrorCodes.REFUSED_STREAM)


def test_stream_that_the_provider_refused_was_not_called(world: World) -> None:
    world.provider.behaviour = refuses_stream
    request = world.request()
    world.fails(request, Reason.PROVIDER_UNREACHABLE)


def breaking(how: Behaviour) -> Behaviour:
    async def answer(stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        await stream.send_data(frame(b"\x0a\x02hi")[:6])
        await asyncio.sleep(0.05)
        await how(stream)

    return answer


@pytest.mark.parametrize("how", [dies, resets])
def test_provider_lost_in_mid_answer_is_told_without_a_byte_of_it(world: World, how: Behaviour) -> None:
    """Envoy answers by itself here, with our text: the gate can only record."""
    world.provider.behaviour = breaking(how)
    request = world.request()
    answer = world.send(request)
    assert answer.refusal == (Reason.PROVIDER_LOST, {})
    assert (answer.code, answer.data) == (2, b"")
    receipt = world.outcome(request).receipt
    assert (receipt.outcome, receipt.reason, receipt.messages_released) == (2, 111, 0)


def test_deadline_in_mid_answer_is_told_without_a_byte_of_it(world: World) -> None:
    world.provider.behaviour = breaking(hang)
    request = world.request()
    answer = world.connection().call(request.headers(timeout="300m"), request.body)
    assert answer.refusal == (Reason.DEADLINE, {})
    assert (answer.code, answer.data) == (4, b"")
    receipt = world.outcome(request).receipt
    assert (receipt.outcome, receipt.reason) == (2, 116)


def test_provider_that_was_suspended_meanwhile_is_not_believed(world: World) -> None:
    begun, go = threading.Event(), threading.Event()
    world.provider.behaviour = waiting(begun, go)
    request, connection = world.request(), world.connect(CALLER)
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    assert begun.wait(5)
    with world.policy() as document:
        entry = next(one for one in document["subsystems"] if one["id"] == "gov/mps/population")
        entry["active"] = False
    go.set()
    answer = connection.answer(stream)
    connection.close()
    with world.policy() as document:
        next(one for one in document["subsystems"] if one["id"] == "gov/mps/population")["active"] = True
    world.fails(request, Reason.RESPONSE_SIGNATURE_INVALID, answer=answer)
    assert world.outcome(request).receipt.snapshot_version == world.intent(request).admission.snapshot_version
