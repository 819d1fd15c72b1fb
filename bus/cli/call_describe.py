"""What a method takes and gives, for whoever writes the JSON: a template that parses, and the contract's own form.

A contract is somebody else's text, and messages inside messages multiply: a template is cut off after some thousand.
"""

import re
from typing import Any, Final

from buf.validate import validate_pb2
from google.protobuf import text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor, OneofDescriptor

__all__ = ["proto_of", "template_of"]

_TYPES: Final = {
    getattr(FieldDescriptor, name): name.removeprefix("TYPE_").lower()
    for name in dir(FieldDescriptor)
    if name.startswith("TYPE_")
}
_WORDED: Final[dict[str, Any]] = {
    "google.protobuf.Timestamp": "2026-11-21T08:00:00Z",
    "google.protobuf.Duration": "1s",
    "google.protobuf.FieldMask": "",
    "google.protobuf.Struct": {},
    "google.protobuf.ListValue": [],
    "google.protobuf.Value": None,
    "google.protobuf.Any": {},
}
_MOST_NAMES: Final = 2_000
_LONG: Final = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


def template_of(message: Descriptor) -> Any:
    """JSON with every field once, of a oneof the first; what contains itself is cut off there."""
    return _Template().of(message, ())


def proto_of(method: MethodDescriptor) -> str:
    """The method, and every type that it reaches, as in a .proto file."""
    service = method.containing_service
    stream = "stream " if method.server_streaming else ""
    lines = [
        f"service {service.full_name} {{",
        f"  rpc {method.name}({method.input_type.full_name}) returns ({stream}{method.output_type.full_name});",
        "}",
    ]
    for found in _reached(method):
        lines += ["", *(_enum(found) if isinstance(found, EnumDescriptor) else _message(found))]
    return "\n".join(lines)


class _Template:
    def __init__(self) -> None:
        self._names = 0

    def of(self, message: Descriptor, above: tuple[Descriptor, ...]) -> Any:
        if message.full_name in _WORDED:
            return _WORDED[message.full_name]
        if message.full_name.startswith("google.protobuf.") and message.full_name.endswith("Value"):
            return self._value(message.fields_by_name["value"], above)
        if message in above or self._names > _MOST_NAMES:
            return {}
        inside = (*above, message)
        self._names += len(message.fields)
        return {
            field.json_name: self._field(field, inside)
            for field in message.fields
            if field.containing_oneof is None or field.containing_oneof.fields[0] is field
        }

    def _field(self, field: FieldDescriptor, above: tuple[Descriptor, ...]) -> Any:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            keys, values = field.message_type.fields
            key = self._value(keys, above)
            return {key if isinstance(key, str) else str(key).lower(): self._value(values, above)}
        if field.is_repeated:
            return [] if field.message_type in above else [self._value(field, above)]
        return self._value(field, above)

    def _value(self, field: FieldDescriptor, above: tuple[Descriptor, ...]) -> Any:
        if field.message_type is not None:
            return self.of(field.message_type, above)
        if field.enum_type is not None:
            return field.enum_type.values[min(1, len(field.enum_type.values) - 1)].name
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return ""
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return False
        return "0" if field.cpp_type in _LONG else 0


def _reached(method: MethodDescriptor) -> list[Descriptor | EnumDescriptor]:
    """In the order in which a reader meets them; google.protobuf's are known."""
    found: dict[str, Descriptor | EnumDescriptor] = {}
    waiting: list[Descriptor | EnumDescriptor] = [method.input_type, method.output_type]
    while waiting:
        one = waiting.pop(0)
        if one.full_name in found or one.full_name.startswith("google.protobuf."):
            continue
        entry = isinstance(one, Descriptor) and one.GetOptions().map_entry
        if not entry:
            found[one.full_name] = one
        if isinstance(one, Descriptor):
            waiting += [kind for field in one.fields for kind in (field.message_type, field.enum_type) if kind]
    return list(found.values())


def _message(message: Descriptor) -> list[str]:
    lines = [f"message {message.full_name} {{"]
    for field in message.fields:
        chosen = _chosen(field)
        oneof = f"  // one of {chosen.name}" if chosen else ""
        lines.append(f"  {_declared(field)} {field.name} = {field.number}{_rules(field)};{oneof}")
    return [*lines, "}"]


def _declared(field: FieldDescriptor) -> str:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        keys, values = field.message_type.fields
        return f"map<{_kind(keys)}, {_kind(values)}>"
    label = "repeated " if field.is_repeated else ""
    if not label and not _chosen(field) and field.containing_oneof is not None:
        label = "optional "
    return label + _kind(field)


def _chosen(field: FieldDescriptor) -> OneofDescriptor | None:
    """The oneof that it is a choice of; proto3's own oneof of one is none."""
    found = field.containing_oneof
    return found if found is not None and len(found.fields) > 1 else None


def _kind(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    return named.full_name if named is not None else _TYPES[field.type]


def _rules(field: FieldDescriptor) -> str:
    """The contract's rules for the field, on the same line."""
    options = field.GetOptions()
    if not options.HasExtension(validate_pb2.field):
        return ""
    text = text_format.MessageToString(options.Extensions[validate_pb2.field], as_one_line=True)
    return f" [(buf.validate.field) = {{ {_plain(text.strip())} }}]"


def _plain(text: str) -> str:
    """Text is written in double quotes here: a single one needs no backslash before it."""
    return re.sub(r"\\(.)", lambda found: "'" if found[1] == "'" else found[0], text)


def _enum(enum: EnumDescriptor) -> list[str]:
    return [f"enum {enum.full_name} {{", *(f"  {one.name} = {one.number};" for one in enum.values), "}"]
