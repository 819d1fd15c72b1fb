"""The codec encodes what the contract declares, decodes exactly that, and both implementations agree."""

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from govbus.edge.v1 import snapshot_pb2
from govbus.exchange.v1 import (
    admission_pb2,
    gate_key_pb2,
    receipt_pb2,
    refusal_pb2,
    request_header_pb2,
    response_header_pb2,
    signature_pb2,
)

from native._codec_py import RULES, Number, Octets, Text
from native.errors import CodecError
from tests.native.samples import CODECS, KINDS, REQUEST, SIGNATURE, Codec, Kind, octets

CONTRACTS: dict[str, Any] = {
    "request_header": request_header_pb2.RequestHeader,
    "response_header": response_header_pb2.ResponseHeader,
    "signature": signature_pb2.Signature,
    "admission": admission_pb2.Admission,
    "receipt": receipt_pb2.Receipt,
    "gate_key": gate_key_pb2.GateKey,
    "refusal": refusal_pb2.Refusal,
    "snapshot_header": snapshot_pb2.SnapshotHeader,
}

codecs = pytest.mark.parametrize("codec", CODECS, ids=lambda each: each.name)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda each: each.name)


@codecs
@kinds
def test_what_is_encoded_decodes_to_the_same(codec: Codec, kind: Kind) -> None:
    assert codec.decode(kind, codec.encode(kind, kind.sample)) == kind.sample


@codecs
@kinds
def test_the_bytes_are_those_of_protobuf(codec: Codec, kind: Kind) -> None:
    values = {each.name: getattr(kind.sample, each.name) for each in fields(kind.sample)}
    expected = CONTRACTS[kind.name](**values).SerializeToString(deterministic=True)
    assert codec.encode(kind, kind.sample) == expected


@kinds
def test_the_tables_are_the_contract(kind: Kind) -> None:
    declared: Descriptor = CONTRACTS[kind.name].DESCRIPTOR
    by_number = sorted(declared.fields, key=lambda each: each.number)
    assert [each.number for each in by_number] == list(range(1, len(by_number) + 1))
    assert [each.name for each in by_number] == kind.fields
    for each, rule in zip(by_number, RULES[type(kind.sample)], strict=True):
        expected = {FieldDescriptor.TYPE_STRING: Text, FieldDescriptor.TYPE_BYTES: Octets}.get(each.type, Number)
        assert type(rule) is expected, each.name
        assert not each.is_repeated


@codecs
@kinds
def test_every_required_field_is_missed_by_name(codec: Codec, kind: Kind) -> None:
    for name, rule in zip(kind.fields, RULES[type(kind.sample)], strict=True):
        if not rule.required:
            continue
        empty = {Number: 0, Text: "", Octets: b""}[type(rule)]
        with pytest.raises(CodecError) as refused:
            codec.encode(kind, replace(kind.sample, **{name: empty}))
        assert (refused.value.reason, refused.value.field, refused.value.fault) == ("FIELD_INVALID", name, "required")


@codecs
@kinds
def test_decoding_nothing_misses_the_first_required_field(codec: Codec, kind: Kind) -> None:
    first = next(name for name, rule in zip(kind.fields, RULES[type(kind.sample)], strict=True) if rule.required)
    with pytest.raises(CodecError) as refused:
        codec.decode(kind, b"")
    assert (refused.value.fault, refused.value.field) == ("required", first)


REFUSED_FIELDS: list[tuple[str, Any, str, str]] = [
    ("request_id", octets(1, 15), "FIELD_INVALID", "length"),
    ("request_id", octets(1, 17), "FIELD_INVALID", "length"),
    ("client", "spiffe://", "FIELD_INVALID", "length"),
    ("client", "spiffe://" + "a" * 192, "FIELD_INVALID", "length"),
    ("client", "https://gov.example/a", "FIELD_INVALID", "charset"),
    ("client", "spiffe://gov.example/Gov", "FIELD_INVALID", "charset"),
    ("client", "spiffe://gov.example/a\0b", "FIELD_INVALID", "charset"),
    ("client", "spiffe://gov.example/thuế", "FIELD_INVALID", "charset"),
    ("client", "spiffe://gov.example/\ud800", "FIELD_INVALID", "charset"),
    ("method", "/a/", "FIELD_INVALID", "length"),
    ("method", "//ab", "FIELD_INVALID", "charset"),
    ("method", "/ab/", "FIELD_INVALID", "charset"),
    ("method", "abc/d", "FIELD_INVALID", "charset"),
    ("method", "/a/b/c", "FIELD_INVALID", "charset"),
    ("method", "/a/b.c", "FIELD_INVALID", "charset"),
    ("method", "/a-b/c", "FIELD_INVALID", "charset"),
    ("method", "/a/b\n", "FIELD_INVALID", "charset"),
    ("body_commitment", octets(1, 31), "FIELD_INVALID", "length"),
    ("issued_at_ms", -1, "FIELD_INVALID", "range"),
    ("issued_at_ms", 253_402_300_800_000, "FIELD_INVALID", "range"),
    ("issued_at_ms", 2**64, "FIELD_INVALID", "range"),
    ("not_after_ms", -(2**70), "FIELD_INVALID", "range"),
    ("purpose", "Birth", "FIELD_INVALID", "charset"),
    ("purpose", "-birth", "FIELD_INVALID", "charset"),
    ("purpose", ".birth", "FIELD_INVALID", "charset"),
    ("purpose", "_birth", "FIELD_INVALID", "charset"),
    ("purpose", "b" * 65, "FIELD_INVALID", "length"),
    ("case_id", "a case", "FIELD_INVALID", "charset"),
    ("case_id", "a/case", "FIELD_INVALID", "charset"),
    ("case_id", "079123456789", "IDENTIFIER_PERSONAL", "personal"),
    ("case_id", "123456789", "IDENTIFIER_PERSONAL", "personal"),
    ("case_id", "1234567890123", "IDENTIFIER_PERSONAL", "personal"),
    ("case_id", "079-123.456_789", "IDENTIFIER_PERSONAL", "personal"),
    ("official", "0912345678", "IDENTIFIER_PERSONAL", "personal"),
    ("idempotency_key", "0912-345-678", "IDENTIFIER_PERSONAL", "personal"),
    ("grant_id", "", "FIELD_INVALID", "required"),
    ("on_behalf_of", "spiffe://gov.example/gov/a", "FIELD_NOT_SUPPORTED", "not_supported"),
    ("on_behalf_of", "x", "FIELD_NOT_SUPPORTED", "not_supported"),
    ("official_token_digest", octets(1), "FIELD_NOT_SUPPORTED", "not_supported"),
]


@codecs
@pytest.mark.parametrize(("field", "value", "reason", "fault"), REFUSED_FIELDS)
def test_a_field_outside_its_limits_is_refused(codec: Codec, field: str, value: Any, reason: str, fault: str) -> None:
    with pytest.raises(CodecError) as refused:
        codec.encode(KINDS[0], replace(REQUEST, **{field: value}))
    assert (refused.value.reason, refused.value.field, refused.value.fault) == (reason, field, fault)
    assert not value or str(value) not in str(refused.value)


@codecs
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("case_id", "12345678"),
        ("case_id", "12345678901234"),
        ("case_id", "079123456789a"),
        ("case_id", "-"),
        ("client", "spiffe://a"),
        ("method", "/a/b"),
        ("method", "/.a/_b"),
        ("purpose", "0"),
        ("purpose", "a._-"),
        ("issued_at_ms", 1),
        ("issued_at_ms", 253_402_300_799_999),
    ],
)
def test_a_field_at_its_limit_is_taken(codec: Codec, field: str, value: Any) -> None:
    sample = replace(REQUEST, **{field: value})
    assert codec.decode(KINDS[0], codec.encode(KINDS[0], sample)) == sample


@codecs
@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("algorithm", 2, "range"),
        ("algorithm", 0, "required"),
        ("size", 1025, "range"),
        ("index", 1024, "range"),
        ("index", -1, "range"),
        ("path", octets(1, 31), "length"),
        ("path", octets(1, 33), "length"),
        ("path", octets(1, 352), "length"),
        ("value", octets(1, 63), "length"),
    ],
)
def test_a_signature_outside_its_limits_is_refused(codec: Codec, field: str, value: Any, fault: str) -> None:
    with pytest.raises(CodecError) as refused:
        codec.encode(KINDS[2], replace(SIGNATURE, **{field: value}))
    assert (refused.value.field, refused.value.fault) == (field, fault)


@codecs
def test_the_first_wrong_field_is_the_one_named(codec: Codec) -> None:
    for early, late in [("request_id", "issued_at_ms"), ("issued_at_ms", "purpose"), ("client", "not_after_ms")]:
        wrong: dict[str, Any] = {early: {bytes: b"1", str: "", int: -5}[type(getattr(REQUEST, early))]}
        wrong[late] = {str: "", int: 2**70}[type(getattr(REQUEST, late))]
        with pytest.raises(CodecError) as refused:
            codec.encode(KINDS[0], replace(REQUEST, **wrong))
        assert refused.value.field == early


@codecs
@pytest.mark.parametrize(("field", "value"), [("client", b"x"), ("request_id", "x"), ("issued_at_ms", "1")])
def test_a_value_of_another_type_is_a_programming_error(codec: Codec, field: str, value: Any) -> None:
    with pytest.raises(TypeError):
        codec.encode(KINDS[0], replace(REQUEST, **{field: value}))
    with pytest.raises(TypeError):
        codec.encode(KINDS[0], SIGNATURE)


def test_decoded_values_are_frozen_and_hashable() -> None:
    decoded = CODECS[0].decode(KINDS[0], CODECS[0].encode(KINDS[0], REQUEST))
    with pytest.raises(FrozenInstanceError):
        decoded.client = "spiffe://gov.example/other"
    assert hash(decoded) == hash(REQUEST)
