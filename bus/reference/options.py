"""A contract's own options on a field or method (vn.options.v1 and any like it), as words.

Whatever is set is told. An option that this installation does not know is not: it did not come with its declaration.
"""

from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from vn.options.v1 import options_pb2

__all__ = ["own_options"]

_KNOWN: Final = options_pb2.DESCRIPTOR.package
_RULES: Final = "buf.validate."


def own_options(options: Message) -> dict[str, str]:
    """Option -> value, in the order of their numbers: `data class` -> `personal`."""
    found = {}
    for field, value in options.ListFields():
        if not field.is_extension or field.full_name.startswith(_RULES):
            continue
        name = field.name if field.full_name.startswith(_KNOWN) else field.full_name
        found[name.replace("_ms", "").replace("_", " ")] = _shown(field, value)
    return found


def _shown(field: FieldDescriptor, value: Any) -> str:
    if field.is_repeated:
        return ", ".join(_one(field, one) for one in value)
    return _one(field, value)


def _one(field: FieldDescriptor, value: Any) -> str:
    if field.enum_type is not None:
        name: str = field.enum_type.values_by_number[value].name
        prefix = (
            "".join(f"_{letter}" if letter.isupper() else letter for letter in field.enum_type.name).strip("_").upper()
        )
        return name.removeprefix(f"{prefix}_").lower().replace("_", " ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if field.name.endswith("_ms"):
        return f"{value:,} ms"
    return f"{value:,}" if isinstance(value, int) else str(value)
