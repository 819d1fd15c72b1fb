"""Bad bytes get their reason, the same from both implementations, whatever they are."""

import random
from typing import Any

import pytest

from native.errors import CodecError
from tests.native.samples import CODECS, FAST, KINDS, REQUEST, TWIN, Codec, Kind

codecs = pytest.mark.parametrize("codec", CODECS, ids=lambda each: each.name)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.name)

REQUEST_KIND = KINDS[0]
ENCODED = FAST.encode(REQUEST_KIND, REQUEST)


def outcome(codec: Codec, kind: Kind, data: bytes) -> Any:
    """The value, or what the refusal says."""
    try:
        return codec.decode(kind, data)
    except CodecError as refused:
        return refused.reason, refused.fault, refused.field


@codecs
@kinds
def test_truncated_at_every_byte(codec: Codec, kind: Kind) -> None:
    data = codec.encode(kind, kind.sample)
    borders = 0
    for end in range(len(data)):
        got = outcome(codec, kind, data[:end])
        if isinstance(got, tuple):
            assert got[1] in ("truncated", "required")
        else:
            # Cut exactly before an optional field: a whole message, but another one.
            assert codec.encode(kind, got) == data[:end]
            assert got != kind.sample
            borders += 1
    assert borders == (2 if kind.name == "request_header" else 0)


@codecs
@kinds
def test_anything_behind_the_last_field_is_refused(codec: Codec, kind: Kind) -> None:
    data = codec.encode(kind, kind.sample)
    for tail in (b"\0", b"\xff", b"\x08", data[:1], b"\x80\x80", data):
        with pytest.raises(CodecError) as refused:
            codec.decode(kind, data + tail)
        assert refused.value.reason == "HEADER_NOT_CANONICAL"


MALFORMED = [
    ("field twice", b"\x0a\x10" + bytes(16) + b"\x0a\x10" + bytes(16), "order", "request_id"),
    ("fields out of order", b"\x12\x0aspiffe://a\x0a\x10" + bytes(16), "order", "request_id"),
    ("field zero", b"\x02\x01x", "unknown", None),
    ("tag zero", b"\x00", "unknown", None),
    ("field sixteen", b"\x82\x01\x01x", "unknown", None),
    ("field 2^29 - 1", b"\xfa\xff\xff\xff\x0f\x01x", "unknown", None),
    ("tag of 64 bits", b"\xfa\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01x", "unknown", None),
    ("overlong tag", b"\x8a\x00\x10" + bytes(16), "overlong", None),
    ("tag without end", b"\xff", "truncated", None),
    ("tag beyond 64 bits", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "overlong", None),
    ("wire type 0 for bytes", b"\x08\x10", "wire_type", "request_id"),
    ("wire type 1", b"\x09" + bytes(8), "wire_type", "request_id"),
    ("wire type 3, a group", b"\x0b\x0c", "wire_type", "request_id"),
    ("wire type 5", b"\x0d" + bytes(4), "wire_type", "request_id"),
    ("wire type 7", b"\x0f", "wire_type", "request_id"),
    ("wire type 2 for a number", b"\x3a\x01\x01", "wire_type", "issued_at_ms"),
    ("empty bytes written", b"\x0a\x00", "default", "request_id"),
    ("zero written", b"\x38\x00", "default", "issued_at_ms"),
    ("overlong length", b"\x0a\x90\x00" + bytes(16), "overlong", "request_id"),
    ("overlong number", b"\x38\x81\x00", "overlong", "issued_at_ms"),
    ("overlong zero", b"\x38\x80\x00", "overlong", "issued_at_ms"),
    ("number beyond 64 bits", b"\x38" + b"\xff" * 9 + b"\x02", "overlong", "issued_at_ms"),
    ("number of eleven bytes", b"\x38" + b"\x80" * 10 + b"\x01", "overlong", "issued_at_ms"),
    ("negative number", b"\x38" + b"\xff" * 9 + b"\x01", "range", "issued_at_ms"),
    ("length of 2^64 - 1", b"\x0a" + b"\xff" * 9 + b"\x01", "truncated", "request_id"),
    ("length one too long", b"\x0a\x10" + bytes(15), "truncated", "request_id"),
    ("wrong length", b"\x0a\x0f" + bytes(15), "length", "request_id"),
    ("not ASCII", b"\x12\x0bspiffe://\xc3\xa1", "charset", "client"),
    ("not UTF-8", b"\x12\x0bspiffe://\xff\xff", "charset", "client"),
    ("zero byte", b"\x12\x0bspiffe://\x00a", "charset", "client"),
    ("reserved", b"\x6a\x0aspiffe://a", "not_supported", "on_behalf_of"),
    ("reserved and wrong", b"\x6a\x01\xff", "not_supported", "on_behalf_of"),
    ("reserved and empty", b"\x6a\x00", "default", "on_behalf_of"),
    ("personal", b"\x52\x0c079123456789", "personal", "case_id"),
]


@codecs
@pytest.mark.parametrize(("name", "data", "fault", "field"), MALFORMED, ids=[each[0] for each in MALFORMED])
def test_malformed_request_is_refused(codec: Codec, name: str, data: bytes, fault: str, field: str | None) -> None:
    with pytest.raises(CodecError) as refused:
        codec.decode(REQUEST_KIND, data)
    assert (refused.value.fault, refused.value.field) == (fault, field), name


@codecs
@kinds
def test_every_reserved_field_must_be_empty(codec: Codec, kind: Kind) -> None:
    if kind.name == "response_header":
        for data, field in [(b"\x4a\x20" + bytes(32), "subject_handles"), (b"\x50\x01", "subject_count")]:
            with pytest.raises(CodecError) as refused:
                codec.decode(kind, data)
            assert (refused.value.reason, refused.value.field) == ("FIELD_NOT_SUPPORTED", field)


@kinds
def test_one_byte_changed_anywhere_gives_both_the_same_outcome(kind: Kind) -> None:
    data = FAST.encode(kind, kind.sample)
    for at in range(len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1, data[at] ^ 0x20, data[at] ^ 0x80):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            assert outcome(FAST, kind, changed) == outcome(TWIN, kind, changed)


@kinds
def test_random_mutations_give_both_the_same_outcome(kind: Kind) -> None:
    chance = random.Random(f"govbus {kind.name}")
    data = FAST.encode(kind, kind.sample)
    for _ in range(2000):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            mutate(changed, chance)
        assert outcome(FAST, kind, bytes(changed)) == outcome(TWIN, kind, bytes(changed))


def mutate(data: bytearray, chance: random.Random) -> None:
    """Overwrites, inserts, removes or doubles a little."""
    at = chance.randrange(len(data) + 1)
    some = chance.randint(1, 6)
    match chance.randrange(4):
        case 0:
            data[at : at + some] = chance.randbytes(some)
        case 1:
            data[at:at] = chance.randbytes(some)
        case 2:
            del data[at : at + some]
        case _:
            data[at:at] = data[at : at + some]


@kinds
def test_random_bytes_give_both_the_same_outcome(kind: Kind) -> None:
    chance = random.Random(f"govbus bytes {kind.name}")
    for _ in range(1000):
        data = chance.randbytes(chance.randint(0, 40))
        assert outcome(FAST, kind, data) == outcome(TWIN, kind, data)


def test_what_decodes_encodes_to_the_same_bytes() -> None:
    chance = random.Random("govbus canonical")
    kept = 0
    for _ in range(5000):
        changed = bytearray(ENCODED)
        changed[chance.randrange(len(changed))] = chance.choice(b"abc019./-_")
        if isinstance(value := outcome(FAST, REQUEST_KIND, bytes(changed)), type(REQUEST)):
            assert FAST.encode(REQUEST_KIND, value) == bytes(changed)
            kept += 1
    assert kept > 100
