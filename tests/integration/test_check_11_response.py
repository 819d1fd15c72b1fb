"""Check 11: only a signed answer of this provider to this request reaches the client; anything else becomes a refusal."""

import asyncio
import os

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
from tests.support.raw_provider import Behaviour, ProviderStream
from tests.support.raw_provider_answers import OPENING, Draft, answering, hang

LIMIT = 4 * 1024 * 1024
HIGH = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PARTS = [metadata.RESPONSE, metadata.RESPONSE_SIGNATURE, metadata.RESPONSE_SALT]


def raising_s(signature: bytes) -> bytes:
    """The same signature with s in the upper half."""
    return signature[:-32] + (HIGH - int.from_bytes(signature[-32:], "big")).to_bytes(32, "big")


def doubled(key: str) -> Behaviour:
    async def answer(stream: ProviderStream) -> None:
        trailers = stream.draft.trailers()
        await stream.send_headers(list(OPENING))
        await stream.send_data(stream.body)
        await stream.send_headers([*trailers, *(pair for pair in trailers if pair[0] == key)], end=True)

    return answer


SIGNED_OTHERWISE: dict[str, tuple[Behaviour, Reason]] = {
    "no parts at all": (answering(lambda d: d.but(left_out=frozenset(PARTS))), Reason.PROVIDER_UNSIGNED),
    **{f"without {key}": (answering(lambda d, key=key: d.but(left_out=frozenset({key}))), Reason.PROVIDER_UNSIGNED) for key in PARTS},
    **{f"{key} twice": (doubled(key), Reason.PROVIDER_UNSIGNED) for key in [*PARTS, "grpc-status"]},
    **{f"{key} cut": (answering(lambda d, key=key: d.but(spoil={key: lambda v: v[:-1]})), Reason.PROVIDER_UNSIGNED) for key in PARTS},
    **{f"{key} too large": (answering(lambda d, key=key: d.but(spoil={key: lambda v: v + bytes(4096)})), Reason.PROVIDER_UNSIGNED) for key in PARTS},
    "no status": (answering(lambda d: d.but(left_out=frozenset({"grpc-status"}))), Reason.PROVIDER_UNSIGNED),
    "status that is no number": (answering(lambda d: d.but(left_out=frozenset({"grpc-status"}), extra=[("grpc-status", "ok")])), Reason.PROVIDER_UNSIGNED),
    "garbage signature": (answering(lambda d: d.but(spoil={metadata.RESPONSE_SIGNATURE: lambda v: v[:-64] + os.urandom(64)})), Reason.RESPONSE_SIGNATURE_INVALID),
    "high s": (answering(lambda d: d.but(spoil={metadata.RESPONSE_SIGNATURE: raising_s})), Reason.RESPONSE_SIGNATURE_INVALID),
    "key nobody knows": (answering(lambda d: d.but(signer=KeySigner(generate_private_key()))), Reason.RESPONSE_SIGNATURE_INVALID),
    "for another request": (answering(lambda d: d.but(claims={"request_digest": os.urandom(32)})), Reason.RESPONSE_MISMATCH),
    "as another provider": (answering(lambda d: d.but(claims={"provider": d.provider.replace("population", "twin")})), Reason.RESPONSE_MISMATCH),
    "other body": (answering(lambda d: d.but(claims={"body_commitment": os.urandom(32)})), Reason.RESPONSE_MISMATCH),
    "other salt": (answering(lambda d: d.but(spoil={metadata.RESPONSE_SALT: lambda _: os.urandom(32)})), Reason.RESPONSE_MISMATCH),
    "other count": (answering(lambda d: d.but(claims={"message_count": 2})), Reason.RESPONSE_MISMATCH),
    "other status": (answering(lambda d: d.but(claims={"grpc_status": 5})), Reason.RESPONSE_MISMATCH),
    "text it did not sign": (answering(lambda d: d.but(message="x", claims={"grpc_message_digest": b""})), Reason.RESPONSE_MISMATCH),
    "text that is missing": (answering(lambda d: d.but(claims={"grpc_message_digest": os.urandom(32)})), Reason.RESPONSE_MISMATCH),
    "details it did not sign": (answering(lambda d: d.but(details=b"x", claims={"details_digest": b""})), Reason.RESPONSE_MISMATCH),
    "success without a message": (answering(lambda d: d.but(body=b"")), Reason.RESPONSE_MISMATCH),
    "error with a message": (answering(lambda d: d.but(status=5)), Reason.RESPONSE_MISMATCH),
    "two messages": (answering(lambda d: d.but(body=d.body * 2)), Reason.RESPONSE_MISMATCH),
}  # fmt: skip


@pytest.mark.parametrize("case", SIGNED_OTHERWISE)
def test_answer_that_is_not_the_providers_signed_word_is_replaced(world: World, case: str) -> None:
    world.provider.behaviour, reason = SIGNED_OTHERWISE[case]
    world.fails(world.request(), reason)


def test_answer_signed_by_another_providers_key_is_replaced(world: World) -> None:
    twin = world.signer(TWIN)
    world.provider.behaviour = answering(lambda draft: draft.but(signer=twin))
    world.fails(world.request(), Reason.RESPONSE_SIGNATURE_INVALID)


def test_answer_of_an_earlier_call_is_replaced(world: World) -> None:
    kept: list[list[tuple[str, str]]] = []

    async def keep(stream: ProviderStream) -> None:
        kept.append(stream.draft.trailers())
        await stream.send_headers(list(OPENING))
        await stream.send_data(stream.body)
        await stream.send_headers(kept[0], end=True)

    world.provider.behaviour = keep
    world.answers(world.request())
    world.fails(world.request(), Reason.RESPONSE_MISMATCH)


async def bare(stream: ProviderStream, headers: list[tuple[str, str]], body: bytes) -> None:
    """Headers and body, and no trailers."""
    await stream.send_headers(headers, end=not body)
    if body:
        await stream.send_data(body, end=True)


def framed(body: bytes) -> Behaviour:
    """Honest trailers behind a body that is no message; the commitment says what it can."""

    async def answer(stream: ProviderStream) -> None:
        trailers = stream.draft.trailers()
        await stream.send_headers(list(OPENING))
        await stream.send_data(body)
        await stream.send_headers(trailers, end=True)

    return answer


MALFORMED: dict[str, tuple[Behaviour, Reason]] = {
    "ended without trailers": (lambda s: bare(s, OPENING, s.body), Reason.PROVIDER_UNSIGNED),
    "headers and nothing else": (lambda s: bare(s, OPENING, b""), Reason.PROVIDER_UNSIGNED),
    "http error with a page": (lambda s: bare(s, [(":status", "500"), ("content-type", "text/html")], b"<h1>"), Reason.PROVIDER_UNSIGNED),
    "http error, trailers only": (lambda s: bare(s, [(":status", "404")], b""), Reason.PROVIDER_UNSIGNED),
    "http error, signed": (answering(lambda d: d.but(body=b"", status=5, headers=[(":status", "503"), ("content-type", "application/grpc")])), Reason.PROVIDER_UNSIGNED),
    "compressed flag": (framed(b"\1" + frame(b"hi")[1:]), Reason.RESPONSE_MISMATCH),
    "half a message": (framed(frame(b"hi")[:-1]), Reason.RESPONSE_MISMATCH),
    "no message": (framed(b"\0\0"), Reason.RESPONSE_MISMATCH),
    "length of 4 GiB": (framed(b"\0\xff\xff\xff\xff"), Reason.RESPONSE_TOO_LARGE),
    "a byte too large": (framed(b"\0" + (LIMIT + 1).to_bytes(4, "big") + bytes(LIMIT + 1)), Reason.RESPONSE_TOO_LARGE),
}  # fmt: skip


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
    started, go = asyncio.Event(), asyncio.Event()
    loop: list[asyncio.AbstractEventLoop] = []

    async def late(stream: ProviderStream) -> None:
        loop.append(asyncio.get_running_loop())
        started.set()
        await go.wait()
        await stream.send(stream.draft)

    world.provider.behaviour = late
    request, connection = world.request(), world.connect(CALLER)
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    while not loop:
        pass
    with world.policy() as document:
        entry = next(one for one in document["subsystems"] if one["id"] == "gov/mps/population")
        entry["active"] = False
    loop[0].call_soon_threadsafe(go.set)
    answer = connection.answer(stream)
    connection.close()
    with world.policy() as document:
        next(one for one in document["subsystems"] if one["id"] == "gov/mps/population")["active"] = True
    world.fails(request, Reason.RESPONSE_SIGNATURE_INVALID, answer=answer)
    assert world.outcome(request).receipt.snapshot_version == world.intent(request).admission.snapshot_version
