"""What a value must be, in words, from the buf.validate rules of a field, a oneof or a message.

Every rule that is set is told: one without words of its own here is told by its own name, so that a new kind of rule is
never left out silently.
"""

from collections.abc import Iterator
from typing import Any, Final

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldOptions, MessageOptions, OneofOptions
from google.protobuf.message import Message

__all__ = ["field_rules", "message_rules", "oneof_rules"]

_WORDS: Final = {
    "required": "required",
    "defined_only": "one of the declared values",
    "unique": "each once",
    "const": "exactly {}",
    "len": "{} characters",
    "min_len": "at least {} characters",
    "max_len": "at most {} characters",
    "len_bytes": "{} bytes",
    "min_bytes": "at least {} bytes",
    "max_bytes": "at most {} bytes",
    "pattern": "matches {}",
    "prefix": "begins with {}",
    "suffix": "ends with {}",
    "contains": "contains {}",
    "gt": "more than {}",
    "gte": "at least {}",
    "lt": "less than {}",
    "lte": "at most {}",
    "in": "one of {}",
    "not_in": "none of {}",
    "min_items": "at least {} entries",
    "max_items": "at most {} entries",
    "min_pairs": "at least {} pairs",
    "max_pairs": "at most {} pairs",
}
_OF_BYTES: Final = {"len": "{} bytes", "min_len": "at least {} bytes", "max_len": "at most {} bytes"}
_NESTED: Final = {"items": "each", "keys": "each key", "values": "each value"}


def field_rules(options: FieldOptions) -> tuple[str, ...]:
    """Of a field's options."""
    return tuple(_told(options.Extensions[validate_pb2.field]))


def oneof_rules(options: OneofOptions) -> tuple[str, ...]:
    """Of a oneof's options."""
    return ("one of them is required",) if options.Extensions[validate_pb2.oneof].required else ()


def message_rules(options: MessageOptions) -> tuple[str, ...]:
    """Of a message's options, over several fields."""
    return tuple(_told(options.Extensions[validate_pb2.message]))


def _told(rules: Message) -> Iterator[str]:
    for field, value in rules.ListFields():
        if field.name == "cel":
            yield from (f"{rule.message or rule.id}: `{rule.expression}`" for rule in value)
        elif field.name in _NESTED:
            yield from (f"{_NESTED[field.name]}: {said}" for said in _told(value))
        elif field.message_type is not None and field.message_type.name.endswith("Rules") and not field.is_repeated:
            yield from _told(value)
        elif field.name == "ignore":
            yield "never looked at" if value == validate_pb2.IGNORE_ALWAYS else "not looked at where it is not set"
        elif field.type == FieldDescriptor.TYPE_BOOL and value:
            yield _WORDS.get(field.name, field.name.replace("_", " "))
        elif field.type != FieldDescriptor.TYPE_BOOL or field.name == "const":
            yield _words(rules, field).format(_shown(field, value))


def _words(rules: Message, field: FieldDescriptor) -> str:
    if rules.DESCRIPTOR.name == "BytesRules" and field.name in _OF_BYTES:
        return _OF_BYTES[field.name]
    return _WORDS.get(field.name, field.name.replace("_", " ") + " {}")


def _shown(field: FieldDescriptor, value: Any) -> str:
    if field.is_repeated:
        return " ".join(_shown_one(one) for one in value)
    return _shown_one(value)


def _shown_one(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return f"`{value.hex()}`"
    if isinstance(value, Message):
        return f"`{' '.join(str(value).split())}`"
    return f"`{value}`" if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else str(value)
