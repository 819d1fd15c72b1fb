"""JSON to a message and back, for `govbus call`. A complaint names the field, never what stood in it.

A body may hold personal data, and a terminal keeps what it has shown. So json_format's own words, which repeat values,
are not passed on: the field that does not fit is looked for again, piece by piece, and told by its path, positions in
lists included, keys of maps not.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from bus.cli.output import Unable
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from bus.exchange.validation import verify_rules

__all__ = ["json_of", "parse_body", "show_json"]

_WHOLE: Final = "the body"
_SHOWN: Final = 20
_EXPECTED: Final = {
    FieldDescriptor.CPPTYPE_STRING: "text in quotes",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
}


def parse_body(text: str, message: Descriptor) -> Message:
    """The message that this JSON is; Unable names the first field that does not fit or breaks the contract's rule."""
    value = _load(text)
    made = GetMessageClass(message)()
    if not _fits(value, made):
        where, what = _blame(value, message, "")
        raise Unable(f"{where or _WHOLE}: {what}; `govbus call --describe` shows the whole message")
    try:
        verify_rules(made)
    except RequestRefused as refused:
        field = refused.metadata["field"]
        raise Unable(f"{field}: breaks a rule of the contract ({Reason.MESSAGE_INVALID}); see --describe") from None
    except RuntimeError:
        pass  # a rule of a newer kind than is installed here: the provider judges it
    return made


def json_of(message: Message, pool: DescriptorPool) -> Any:
    """A message as JSON values, names as in JSON (`codeListVersion`)."""
    return json_format.MessageToDict(message, descriptor_pool=pool)


def show_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON for a terminal: letters as themselves, whatever could steer the terminal or hide text as \\u escapes."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(one if one.isprintable() or one == "\n" else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"


def _load(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise Unable(f"the body is not JSON: see line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise Unable("the body is nested too deep") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unable("the body is not JSON: a name stands twice in one object; keep one")
    return found


def _no_constant(_: str) -> Any:
    raise Unable('the body is not JSON: write "NaN" and "Infinity" in quotes')


def _fits(value: Any, into: Message) -> bool:
    try:
        json_format.ParseDict(value, into)
    except (json_format.ParseError, ValueError, TypeError, AttributeError, RecursionError):
        return False
    return True


def _blame(value: Any, message: Descriptor, path: str) -> tuple[str, str]:
    """The path of what does not fit, and what belongs there."""
    if message.full_name.startswith("google.protobuf."):
        return path, f"expected a {message.full_name} as JSON has it"
    if not isinstance(value, dict):
        return path, f"expected an object, {message.name}"
    fields = {name: field for field in message.fields for name in (field.json_name, field.name)}
    for name, one in value.items():
        field = fields.get(name)
        if field is None:
            said = ".".join(filter(None, (path, name))) if name.isidentifier() and name.isascii() else path or _WHOLE
            return said, f"no such field; {message.name} has {_some(one.json_name for one in message.fields)}"
        if not _fits({name: one}, _empty(message)):
            return _blame_field(one, name, field, message, ".".join(filter(None, (path, name))))
    return path, "a field stands twice under both of its names, or two fields exclude each other"


def _blame_field(value: Any, name: str, field: FieldDescriptor, message: Descriptor, path: str) -> tuple[str, str]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        if not isinstance(value, dict):
            return path, "expected an object, a name for each entry"
        inner = field.message_type.fields_by_name["value"]
        for key, one in value.items():
            if not _fits({name: {key: one}}, _empty(message)):
                return _blame_one(one, inner, f"{path}[]")
        return path, "has a key that does not fit"
    if field.is_repeated:
        if not isinstance(value, list):
            return path, "expected a list"
        for index, one in enumerate(value):
            if not _fits({name: [one]}, _empty(message)):
                return _blame_one(one, field, f"{path}[{index}]")
    return _blame_one(value, field, path)


def _blame_one(value: Any, field: FieldDescriptor, path: str) -> tuple[str, str]:
    if field.message_type is not None:
        return _blame(value, field.message_type, path)
    if field.enum_type is not None:
        return path, f"expected one of {_some(one.name for one in field.enum_type.values)}"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return path, "expected base64 in quotes"
    return path, f"expected {_EXPECTED.get(field.cpp_type, 'a whole number in its range')}"


def _empty(message: Descriptor) -> Message:
    return GetMessageClass(message)()


def _some(names: Iterator[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more if found else "none"
