"""Protobuf fields written without judgement: headers that no codec of ours would encode, signed all the same."""

from collections.abc import Sequence
from dataclasses import fields, replace

from native.headers import RequestHeader
from tests.support.raw_client_forge import Request

__all__ = ["Field", "encode_fields", "fields_of", "varint", "with_fields"]

Field = tuple[int, int | bytes]
"""Number and value; a varint, or bytes of known length."""


def varint(value: int, *, padding: int = 0) -> bytes:
    """Minimal, or with needless continuation bytes."""
    out = bytearray()
    while value > 127 or padding:
        if value <= 127:
            padding -= 1
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def encode_field(field: Field) -> bytes:
    number, value = field
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def encode_fields(found: Sequence[Field]) -> bytes:
    """In the order given."""
    return b"".join(encode_field(one) for one in found)


def fields_of(header: RequestHeader) -> list[Field]:
    """The fields that are written, ascending."""
    found: list[Field] = []
    for number, field in enumerate(fields(header), 1):
        value = getattr(header, field.name)
        if value:
            found.append((number, value.encode() if isinstance(value, str) else value))
    return found


def with_fields(request: Request, changed: dict[int, int | bytes | None]) -> Request:
    """The request with raw fields set, or left out where the value is None, in ascending order; unsigned."""
    found: dict[int, int | bytes | None] = {**dict(fields_of(request.header)), **changed}
    kept = [(number, value) for number, value in sorted(found.items()) if value is not None]
    return replace(request, header_bytes=encode_fields(kept))
