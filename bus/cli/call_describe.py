"""What a method takes and gives, for whoever writes the JSON: a template that parses, and the contract's own form."""

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
_LONG: Final = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}


def template_of(message: Descriptor) -> Any:
    """JSON with every field once, of a oneof the first; what contains itself is cut off there."""
    return _template(message, ())


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


def _template(message: Descriptor, above: tuple[Descriptor, ...]) -> Any:
    if message.full_name in _WORDED:
        return _WORDED[message.full_name]
    if message.full_name.startswith("google.protobuf.") and message.full_name.endswith("Value"):
        return _value(message.fields_by_name["value"], above)
    if message in above:
        return {}
    inside = (*above, message)
    return {
        field.json_name: _field(field, inside)
        for field in message.fields
        if field.containing_oneof is None or field.containing_oneof.fields[0] is field
    }


def _field(field: FieldDescriptor, above: tuple[Descriptor, ...]) -> Any:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        keys, values = field.message_type.fields
        key = _value(keys, above)
        return {key if isinstance(key, str) else str(key).lower(): _value(values, above)}
    if field.is_repeated:
        return [] if field.message_type in above else [_value(field, above)]
    return _value(field, above)


def _value(field: FieldDescriptor, above: tuple[Descriptor, ...]) -> Any:
    if field.message_type is not None:
        return _template(field.message_type, above)
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
    return f" [(buf.validate.field) = {{ {text.strip()} }}]"


def _enum(enum: EnumDescriptor) -> list[str]:
    return [f"enum {enum.full_name} {{", *(f"  {one.name} = {one.number};" for one in enum.values), "}"]
