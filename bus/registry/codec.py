"""Changes as text: one canonical JSON object each, read back strictly.

Keys sorted, no spaces, characters as themselves; bytes as lower-case hex, an enum by its name, a tuple as an array, a
dataclass as an object, and fields at their default left out. So equal changes have equal text, and a field that is
added later does not change the text of an old event. What is not exactly of the declared types is refused: the log was
written by this module, so anything else was written by somebody else.
"""

import json
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from bus.registry.change import Change
from bus.registry.kinds import KINDS

__all__ = ["PayloadError", "decode_change", "encode_change"]


class PayloadError(ValueError):
    """Text that encode_change did not write."""


def encode_change(change: Change) -> str:
    """The payload of an event; its kind stands beside it."""
    return json.dumps(_encode(change), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def decode_change(kind: str, payload: str) -> Change:
    """The change that was encoded; PayloadError for an unknown kind or any other text."""
    shape = KINDS.get(kind)
    if shape is None:
        raise PayloadError(f"unknown kind of event {kind!a}; a newer govbus wrote it, upgrade")
    try:
        change = _reader(shape)(json.loads(payload))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise PayloadError(f"the payload of a {kind} event is not one that govbus wrote") from error
    assert isinstance(change, Change)  # noqa: S101 (a table of ours maps kinds to changes)
    return change


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, tuple):
        return [_encode(one) for one in value]
    if is_dataclass(value):
        return {
            field.name: _encode(found)
            for field in fields(value)
            if (found := getattr(value, field.name)) != field.default
        }
    return value


@cache
def _reader(shape: Any) -> Callable[[Any], Any]:
    """What turns JSON into a value of the type `shape`, or raises."""
    if get_origin(shape) in (Union, types.UnionType):
        (some,) = (_reader(one) for one in get_args(shape) if one is not types.NoneType)
        return lambda found: None if found is None else some(found)
    if get_origin(shape) is tuple:
        each = _reader(get_args(shape)[0])
        return lambda found: tuple(each(one) for one in _exact(found, list))
    if shape is bytes:
        return _bytes
    if isinstance(shape, type) and issubclass(shape, Enum):
        return lambda found: shape[_exact(found, str)]
    if is_dataclass(shape):
        return _object_reader(shape)
    return lambda found: _exact(found, shape)


def _object_reader(shape: Any) -> Callable[[Any], Any]:
    hints = get_type_hints(shape)
    readers = {field.name: _reader(hints[field.name]) for field in fields(shape)}
    required = {field.name for field in fields(shape) if field.default is MISSING}

    def read(found: Any) -> Any:
        given: Mapping[str, Any] = _exact(found, dict)
        if not required <= given.keys() <= readers.keys():
            raise ValueError("fields")
        return shape(**{name: readers[name](value) for name, value in given.items()})

    return read


def _exact(found: Any, shape: type) -> Any:
    if type(found) is not shape:  # a bool is no int here
        raise TypeError("type")
    return found


def _bytes(found: Any) -> bytes:
    data = bytes.fromhex(_exact(found, str))
    if data.hex() != found:
        raise ValueError("hex")
    return data
