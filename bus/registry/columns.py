"""Many values of one type as columns of plain JSON, and back: a fraction of the text and time of an object a value.

    text          {"of": the different ones, "at": which one each is}, or a list where few repeat
    bytes         as text, in hex
    enum          as text, by name
    int, bool     a list
    ... | None    {"there": which are, "of": column of those}; a list for int
    tuple         {"of": column of the different ones' items, "ends": where each ends in it, "at": which one each is}
    dataclass     a column for each field, by its name

What comes back is equal to what was given. The text is trusted: whoever reads it has verified that it is their own.
"""

import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from itertools import chain, pairwise
from operator import attrgetter
from typing import Any, Union, get_args, get_origin, get_type_hints

__all__ = ["decode_column", "encode_column"]

_FEW = 0.5


def encode_column(shape: Any, values: Sequence[Any]) -> Any:
    """`values`, each of the type `shape`."""
    if is_dataclass(shape):
        hints = get_type_hints(shape)
        return {
            one.name: encode_column(hints[one.name], list(map(attrgetter(one.name), values))) for one in fields(shape)
        }
    if some := _optional(shape):
        there = [one is not None for one in values]
        return {"there": there, "of": encode_column(some, [one for one in values if one is not None])}
    if get_origin(shape) is tuple:
        of, at = _distinct(values)
        items = list(chain.from_iterable(of))
        ends, end = [], 0
        for one in of:
            end += len(one)
            ends.append(end)
        return {"of": encode_column(get_args(shape)[0], items), "ends": ends, "at": at}
    if _is_text(shape):
        written = _writer(shape)
        of, at = _distinct(values)
        if len(of) > _FEW * len(values):
            return [written(one) for one in values]
        return {"of": [written(one) for one in of], "at": at}
    return list(values)


def decode_column(shape: Any, column: Any) -> list[Any]:
    """What was encoded. ValueError, TypeError, KeyError or IndexError for what was not."""
    if is_dataclass(shape) and isinstance(shape, type):
        hints = get_type_hints(shape)
        names = [one.name for one in fields(shape)]
        if list(column) != names:
            raise ValueError("other fields")
        make: Callable[..., Any] = shape
        return list(map(make, *(decode_column(hints[name], column[name]) for name in names)))
    if some := _optional(shape):
        several = iter(decode_column(some, column["of"]))
        return [next(several) if there else None for there in column["there"]]
    if get_origin(shape) is tuple:
        items = decode_column(get_args(shape)[0], column["of"])
        of = [tuple(items[start:end]) for start, end in pairwise([0, *column["ends"]])]
        return [of[one] for one in column["at"]]
    if _is_text(shape):
        read = _reader(shape)
        if isinstance(column, list):
            return [read(one) for one in column]
        of = [read(one) for one in column["of"]]
        return [of[one] for one in column["at"]]
    return list(column)


def _distinct(values: Iterable[Any]) -> tuple[list[Any], list[int]]:
    numbers: dict[Any, int] = {}
    at = [numbers.setdefault(one, len(numbers)) for one in values]
    return list(numbers), at


def _is_text(shape: Any) -> bool:
    if shape in (str, bytes) or (isinstance(shape, type) and issubclass(shape, Enum)):
        return True
    if shape not in (int, bool, int | None):
        raise TypeError(f"no column for {shape}")
    return False


def _optional(shape: Any) -> Any:
    """X of `X | None`, but for int, whose lists may hold null."""
    if get_origin(shape) not in (Union, types.UnionType) or shape == int | None:
        return None
    (some,) = (one for one in get_args(shape) if one is not types.NoneType)
    return some


def _writer(shape: Any) -> Callable[[Any], str]:
    if shape is bytes:
        return bytes.hex
    return str if shape is str else attrgetter("name")


def _reader(shape: Any) -> Callable[[str], Any]:
    if shape is bytes:
        return bytes.fromhex
    return str if shape is str else shape.__getitem__  # an enum's, by name
