"""Whether a message is what its contract says: it parses, and protovalidate finds no broken rule.

A refusal names the field by its path (names and positions in lists) and nothing else: no value, no rule's text, no map
key, since all of these may be personal data.
"""

from collections.abc import Callable

import protovalidate
from google.protobuf.message import DecodeError, Message

from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused

__all__ = ["parse_message", "verify_rules"]

WHOLE = "message"


def parse_message(data: bytes, deserialize: Callable[[bytes], object] | None) -> object:
    """`data` as the type that the method takes; RequestRefused(MESSAGE_INVALID) when it does not parse."""
    if deserialize is None:
        return data
    try:
        return deserialize(data)
    except (DecodeError, ValueError) as error:
        raise RequestRefused(Reason.MESSAGE_INVALID, {"field": WHOLE}) from error


def verify_rules(message: object) -> None:
    """RequestRefused(MESSAGE_INVALID) naming the first field of `message` that breaks a rule."""
    if not isinstance(message, Message):
        return
    violations = protovalidate.collect_violations(message, fail_fast=True)
    if violations:
        raise RequestRefused(Reason.MESSAGE_INVALID, {"field": _path(violations[0]) or WHOLE})


def _path(violation: protovalidate.Violation) -> str:
    field = violation.proto.field
    parts: list[str] = []
    for element in field.elements if field else ():
        subscript = element.subscript
        index = f"[{subscript.value}]" if subscript is not None and subscript.field == "index" else ""
        parts.append(element.field_name + index)
    return ".".join(parts)[:200]
