"""The readable twin of native.codec: every message's fields in one table, then one parser and one encoder.

Canonical (docs/protocol.md, section 2): fields ascending, each once, minimal varints, no default written, nothing
unknown. The first thing wrong, from left to right, is the error; missing fields are looked for at the end, lowest
first. Never used in production.
"""

import base64
import binascii
import re
from dataclasses import dataclass, fields
from typing import Final, TypeAlias

from native.errors import CodecError
from native.headers import (
    Admission,
    GateKey,
    Receipt,
    Refusal,
    RequestHeader,
    ResponseHeader,
    Signature,
    SnapshotHeader,
)

TIME_MAX: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
U32: Final = 2**32 - 1
U64: Final = 2**64 - 1

SPIFFE: Final = r"spiffe://[a-z0-9:/.-]+"
METHOD: Final = r"/[A-Za-z0-9_.]+/[A-Za-z0-9_]+"
PURPOSE: Final = r"[a-z0-9][a-z0-9._-]*"
TOKEN: Final = r"[A-Za-z0-9._-]+"  # noqa: S105 - a class of characters, no secret
DOMAIN: Final = r"[a-z0-9.-]+"


@dataclass(frozen=True, slots=True)
class Number:
    """A varint: 1 to `most` when it is written."""

    most: int = U64
    required: bool = True
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Octets:
    """Bytes, least to most long, in whole steps."""

    least: int
    most: int = 0
    step: int = 1
    required: bool = True
    reserved: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """ASCII, least to most long, of a pattern; `personal` refuses the shape of a national number."""

    pattern: str
    least: int
    most: int
    personal: bool = False
    required: bool = True
    reserved: bool = False


Rule: TypeAlias = Number | Octets | Text
Message: TypeAlias = (
    RequestHeader | ResponseHeader | Signature | Admission | Receipt | GateKey | Refusal | SnapshotHeader
)

IDENTITY: Final = Text(SPIFFE, 10, 200)
DIGEST: Final = Octets(32)
MAYBE_DIGEST: Final = Octets(32, required=False)
TIME: Final = Number(TIME_MAX)
COUNT: Final = Number()
MAYBE_COUNT: Final = Number(required=False)

# In the order of the field numbers, from 1; the names are those of the dataclass.
RULES: Final[dict[type[Message], tuple[Rule, ...]]] = {
    RequestHeader: (
        Octets(16),
        IDENTITY,
        IDENTITY,
        IDENTITY,
        Text(METHOD, 4, 200),
        DIGEST,
        TIME,
        TIME,
        Text(PURPOSE, 1, 64),
        Text(TOKEN, 1, 64, personal=True),
        Text(TOKEN, 1, 64),
        Text(TOKEN, 1, 64, personal=True, required=False),
        Text(SPIFFE, 10, 200, required=False, reserved=True),
        Octets(32, required=False, reserved=True),
        Text(TOKEN, 1, 64, personal=True, required=False),
    ),
    ResponseHeader: (
        DIGEST,
        IDENTITY,
        DIGEST,
        MAYBE_COUNT,
        Number(16, required=False),
        MAYBE_DIGEST,
        MAYBE_DIGEST,
        TIME,
        Octets(32, 2048, required=False, reserved=True),
        Number(U32, required=False, reserved=True),
    ),
    Signature: (
        DIGEST,
        Number(1),
        Number(1024),
        Number(1023, required=False),
        Octets(32, 320, step=32, required=False),
        Octets(64),
    ),
    Admission: (DIGEST, IDENTITY, COUNT, TIME, COUNT, DIGEST, DIGEST),
    Receipt: (
        *(DIGEST, IDENTITY, COUNT, COUNT, TIME, TIME, COUNT, DIGEST, MAYBE_DIGEST, MAYBE_DIGEST),
        Number(4),
        Number(U32, required=False),
        *(MAYBE_COUNT, MAYBE_COUNT, MAYBE_DIGEST, TIME),
    ),
    GateKey: (IDENTITY, Octets(65), TIME, TIME),
    Refusal: (DIGEST, IDENTITY, COUNT, TIME, COUNT, DIGEST, DIGEST, Number(U32)),
    SnapshotHeader: (
        Text(DOMAIN, 1, 100),
        COUNT,
        MAYBE_COUNT,
        TIME,
        TIME,
        TIME,
        Text(f"broker|{SPIFFE}", 1, 200),
        DIGEST,
        COUNT,
    ),
}


def judge_number(rule: Number, value: int) -> str | None:
    """The fault of a number that is not zero."""
    if rule.reserved:
        return "not_supported"
    return None if 0 < value <= rule.most else "range"


def judge_bytes(rule: Octets | Text, value: bytes) -> str | None:
    """The fault of a value that is not empty."""
    if rule.reserved:
        return "not_supported"
    if not rule.least <= len(value) <= (rule.most or rule.least):
        return "length"
    if isinstance(rule, Octets):
        return "length" if len(value) % rule.step else None
    if not re.fullmatch(rule.pattern.encode(), value):
        return "charset"
    return "personal" if rule.personal and is_personal(value) else None


def is_personal(value: bytes) -> bool:
    """Shaped like a national number: no letter and 9 to 13 digits in total."""
    digits = len(re.findall(rb"[0-9]", value))
    return 9 <= digits <= 13 and not re.search(rb"[A-Za-z]", value)


def read_varint(data: bytes, at: int, field: str | None) -> tuple[int, int]:
    """A minimal varint of at most 64 bits, and what follows."""
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        if shift == 63 and byte > 1:
            raise CodecError("overlong", field)
        value |= (byte & 127) << shift
        if byte < 128:
            if byte == 0 and shift:
                raise CodecError("overlong", field)
            return value, at
        shift += 7
    raise CodecError("truncated", field)


def write_varint(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def read_value(rule: Rule, data: bytes, at: int, name: str) -> tuple[int | str | bytes, int]:
    """The judged value of a field, and what follows."""
    number, at = read_varint(data, at, name)
    if isinstance(rule, Number):
        fault = judge_number(rule, number) if number else "default"
        if fault:
            raise CodecError(fault, name)
        return number, at
    if number > len(data) - at:
        raise CodecError("truncated", name)
    value = data[at : at + number]
    fault = judge_bytes(rule, value) if value else "default"
    if fault:
        raise CodecError(fault, name)
    return value.decode("ascii") if isinstance(rule, Text) else value, at + number


def parse(cls: type[Message], data: bytes) -> dict[str, int | str | bytes]:
    """Bytes as the values of a message's fields."""
    rules, names = RULES[cls], [each.name for each in fields(cls)]
    found: dict[str, int | str | bytes] = {}
    at = last = 0
    while at < len(data):
        tag, at = read_varint(data, at, None)
        number, wire = tag >> 3, tag & 7
        if not 1 <= number <= len(rules):
            raise CodecError("unknown")
        rule, name = rules[number - 1], names[number - 1]
        if number <= last:
            raise CodecError("order", name)
        if wire != (0 if isinstance(rule, Number) else 2):
            raise CodecError("wire_type", name)
        found[name], at = read_value(rule, data, at, name)
        last = number
    for rule, name in zip(rules, names, strict=True):
        if rule.required and name not in found:
            raise CodecError("required", name)
        empty: dict[type, int | str | bytes] = {Number: 0, Text: "", Octets: b""}
        found.setdefault(name, empty[type(rule)])
    return found


def encode(cls: type[Message], message: Message) -> bytes:
    """The one encoding of a message that the contract allows."""
    if type(message) is not cls:
        raise TypeError(f"expected {cls.__name__}")
    values = [
        (rule, each.name, getattr(message, each.name)) for rule, each in zip(RULES[cls], fields(cls), strict=True)
    ]
    for rule, _, value in values:
        if not isinstance(value, {Number: int, Text: str, Octets: bytes}[type(rule)]):
            raise TypeError("a field has the wrong type")
    return b"".join(
        encode_field(number, rule, name, value) for number, (rule, name, value) in enumerate(values, start=1)
    )


def encode_field(number: int, rule: Rule, name: str, value: int | str | bytes) -> bytes:
    """Tag and value, or nothing for an empty field that may be empty."""
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    if not raw:
        if rule.required:
            raise CodecError("required", name)
        return b""
    fault = judge_number(rule, raw) if isinstance(rule, Number) and isinstance(raw, int) else None
    if isinstance(raw, bytes) and not isinstance(rule, Number):
        fault = judge_bytes(rule, raw)
    if fault:
        raise CodecError(fault, name)
    if isinstance(raw, int):
        return write_varint(number << 3) + write_varint(raw)
    return write_varint(number << 3 | 2) + write_varint(len(raw)) + raw


def decode_base64(text: bytes) -> bytes:
    """Strict: what is decoded encodes to the same text, with or without padding."""
    try:
        data = base64.b64decode(text if b"=" in text else text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise CodecError("base64") from None
    if text not in (base64.b64encode(data), encode_base64(data)):
        raise CodecError("base64")
    return data


def encode_base64(data: bytes) -> bytes:
    """Without padding."""
    return base64.b64encode(data).rstrip(b"=")
