"""Check 2: a header has one spelling. Cut at every byte, respelled, or filled where it must be empty, it is refused.

What exactly must be refused how is asked of the readable codec (native._codec_py), which shares no line with the gate.
"""

from collections.abc import Callable

import pytest

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from native import _codec_py as readable
from native.codec import decode_signature
from native.errors import CodecError
from native.headers import RequestHeader, Signature
from tests.support.gate_world import World
from tests.support.gate_world_nation import CALLER
from tests.support.raw_client_fields import encode_field, encode_fields, fields_of, varint, with_fields
from tests.support.raw_client_forge import Request


def refuses_as_readable(world: World, request: Request) -> Reason:
    """The gate says of these header bytes what the readable codec says."""
    with pytest.raises(CodecError) as caught:
        readable.parse(RequestHeader, request.header_bytes)
    reason = Reason(caught.value.reason)
    if reason is Reason.HEADER_NOT_CANONICAL:
        world.refuses(request, reason, key=metadata.REQUEST)
    else:
        world.refuses(request, reason, field=caught.value.field or "")
    return reason


def test_header_cut_at_every_byte_is_refused(world: World) -> None:
    request = world.request()
    found = {
        refuses_as_readable(world, request.but(header_bytes=request.header_bytes[:size]))
        for size in range(len(request.header_bytes))
    }
    assert found == {Reason.HEADER_NOT_CANONICAL, Reason.FIELD_INVALID}


def test_signature_cut_at_every_byte_is_refused(world: World) -> None:
    request = world.request()
    for size in range(len(request.signature)):
        cut = request.but(signature=request.signature[:size])
        world.refuses(cut, Reason.HEADER_NOT_CANONICAL, key=metadata.REQUEST_SIGNATURE)


RESPELLINGS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "last field first": lambda parts: [parts[-1], *parts[:-1]],
    "two fields swapped": lambda parts: [parts[1], parts[0], *parts[2:]],
    "a field twice": lambda parts: [parts[0], *parts],
    "a default written": lambda parts: [*parts, encode_field((12, b""))],
    "an unknown field": lambda parts: [*parts, encode_field((16, 1))],
    "a field of another wire type": lambda parts: [encode_field((1, 7)), *parts[1:]],
    "an overlong varint": lambda parts: [parts[0][:1] + varint(16, padding=1) + parts[0][2:], *parts[1:]],
    "an overlong tag": lambda parts: [varint(10, padding=2) + parts[0][1:], *parts[1:]],
    "a group": lambda parts: [*parts, b"\x83\x01\x84\x01"],
    "a length beyond the end": lambda parts: [*parts[:-1], parts[-1][:1] + varint(1 << 40) + parts[-1][2:]],
    "rubbish behind": lambda parts: [*parts, b"\0"],
}


@pytest.mark.parametrize("respelling", RESPELLINGS)
def test_respelled_header_is_refused_though_it_is_signed(world: World, respelling: str) -> None:
    request = world.request()
    parts = RESPELLINGS[respelling]([encode_field(one) for one in fields_of(request.header)])
    respelled = request.but(header_bytes=b"".join(parts)).signed(world.signer(CALLER))
    assert refuses_as_readable(world, respelled) is Reason.HEADER_NOT_CANONICAL


def test_respelled_signature_is_refused(world: World) -> None:
    request = world.request()
    found = decode_signature(request.signature)
    spelled = [encode_field(one) for one in ((1, found.key_id), (2, 1), (3, 1), (6, found.value))]
    assert b"".join(spelled) == request.signature
    for wrong in (
        b"".join(reversed(spelled)),
        b"".join([*spelled[:3], encode_field((4, 0)), spelled[3]]),
        request.signature + encode_field((7, 1)),
        encode_fields([(1, found.key_id[:31]), (2, 1), (3, 1), (6, found.value)]),
        encode_fields([(1, found.key_id), (2, 2), (3, 1), (6, found.value)]),
        encode_fields([(1, found.key_id), (2, 1), (3, 1025), (6, found.value)]),
        encode_fields([(1, found.key_id), (2, 1), (3, 2), (5, bytes(33)), (6, found.value)]),
        encode_fields([(1, found.key_id), (2, 1), (3, 1), (6, found.value + b"\0")]),
    ):
        with pytest.raises(CodecError):
            readable.parse(Signature, wrong)
        world.refuses(request.but(signature=wrong), Reason.HEADER_NOT_CANONICAL, key=metadata.REQUEST_SIGNATURE)


@pytest.mark.parametrize(
    ("number", "value"), [(13, b"spiffe://bus.test.example/gov/moj/other"), (14, bytes(32))], ids=["behalf", "token"]
)
def test_field_of_a_later_version_is_refused(world: World, number: int, value: bytes) -> None:
    request = with_fields(world.request(), {number: value}).signed(world.signer(CALLER))
    assert refuses_as_readable(world, request) is Reason.FIELD_NOT_SUPPORTED


@pytest.mark.parametrize("value", ["001099012345", "001.099.012.345", "0912-345-678", "1234567890123", "123456789"])
@pytest.mark.parametrize("number", [10, 12, 15], ids=["case_id", "official", "idempotency_key"])
def test_identifier_shaped_like_a_persons_number_is_refused(world: World, number: int, value: str) -> None:
    request = with_fields(world.request(), {number: value.encode()}).signed(world.signer(CALLER))
    assert refuses_as_readable(world, request) is Reason.IDENTIFIER_PERSONAL


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (1, bytes(15)),
        (1, bytes(17)),
        (2, b"https://bus.test.example/gov/moj/civil-status"),
        (2, b"spiffe://bus.test.example/GOV/moj/civil-status"),
        (2, b"spiffe://bus.test.example/" + b"a" * 200),
        (5, b"test.v1.EchoService/Say"),
        (5, b"/test.v1.EchoService/Say/More"),
        (5, b"/test.v1.EchoService/Say?x"),
        (6, bytes(31)),
        (8, 253_402_300_800_000),
        (9, b"Civil.Birth"),
        (9, "sinh-đẻ".encode()),
        (10, b"HS 1"),
        (10, b"a" * 65),
        (11, b"grant/1"),
        (12, b"officer\n7"),
        *((number, None) for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
    ],
)
def test_field_that_is_missing_or_malformed_is_refused(world: World, number: int, value: int | bytes | None) -> None:
    request = with_fields(world.request(), {number: value}).signed(world.signer(CALLER))
    assert refuses_as_readable(world, request) is Reason.FIELD_INVALID


def test_identifier_with_a_letter_or_other_length_is_no_number(world: World) -> None:
    for case_id in ("a01099012345", "12345678", "12345678901234", "2026-0001"):
        request = world.request(case_id=case_id)
        assert world.answers(request)
