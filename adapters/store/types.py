"""Which types of records the store keeps, for which purposes, and what a body has to be.

1. A type is kept only if its contract is linked here and it is listed below, with the purposes for which others than
   its source may read it, and for which it is put at all.
2. A body parses as its type, keeps the rules of its contract, and holds no field that the contract does not know:
   nobody could say whether such a field names a person.
3. The persons of a body are those whose numbers stand in it anywhere, found by the contract's `subject` option.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import protovalidate
from google.protobuf.message import DecodeError, Message
from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate
from vn.options.v1 import options_pb2
from vn.socialinsurance.v1.socialinsurance_pb2 import HealthCard, MaternityAllowance

__all__ = ["KEPT", "BodyInvalid", "Kept", "parse_body", "persons_in"]


class BodyInvalid(ValueError):
    """Not a message of the record's type; says nothing of what is in it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One type of records."""

    message: type[Message]
    purposes: frozenset[str]


def _kept(*types: tuple[type[Message], str]) -> Mapping[str, Kept]:
    return MappingProxyType({each.DESCRIPTOR.full_name: Kept(each, frozenset({purpose})) for each, purpose in types})


KEPT: Final = _kept(
    (BirthCertificate, "civil.birth"), (HealthCard, "insurance.birth"), (MaternityAllowance, "insurance.birth")
)


def parse_body(kept: Kept, body: bytes) -> Message:
    """The message that `body` is; BodyInvalid."""
    try:
        message = kept.message.FromString(body)
    except (DecodeError, ValueError) as error:
        raise BodyInvalid from error
    whole = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != whole or protovalidate.collect_violations(message, fail_fast=True):
        raise BodyInvalid
    return message


def persons_in(message: Message) -> list[str]:
    """Every person number in it, each once, in order."""
    return sorted(set(_numbers(message)))


def _numbers(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        kind = field.message_type
        if kind is None:
            if field.GetOptions().Extensions[options_pb2.subject]:
                yield from value if field.is_repeated else (value,)
        elif not kind.GetOptions().map_entry:
            for each in value if field.is_repeated else (value,):
                yield from _numbers(each)
        elif kind.fields_by_name["value"].message_type is not None:
            for each in value.values():
                yield from _numbers(each)
