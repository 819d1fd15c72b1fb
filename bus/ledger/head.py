"""The head: the newest checkpoint and how far each source is integrated, in one file, so that they move together.

JSON: {"version": 1, "checkpoint": NOTE, "sources": {NAME: POSITION}}. A position is the source's own, a flat object of
texts and whole numbers. Reading refuses every file that writing would not give. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Head", "HeadInvalid", "Position", "encode_head", "parse_head"]

Position = Mapping[str, str | int]
VERSION = 1


class HeadInvalid(ValueError):
    """The file is not a head that was written here."""

    def __init__(self) -> None:
        super().__init__("the ledger's head file is not what was written; restore the ledger's directory from a copy")


@dataclass(frozen=True, slots=True)
class Head:
    """`checkpoint` is the note as it was signed."""

    checkpoint: bytes
    sources: Mapping[str, Position] = field(default_factory=dict)


def encode_head(head: Head) -> bytes:
    """The file."""
    value = {
        "version": VERSION,
        "checkpoint": head.checkpoint.decode(),
        "sources": {name: dict(position) for name, position in head.sources.items()},
    }
    return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def parse_head(data: bytes) -> Head:
    """Read a file; HeadInvalid unless encode_head writes it so."""
    try:
        value: dict[str, Any] = json.loads(data)
        sources = {name: _position(found) for name, found in value["sources"].items()}
        head = Head(value["checkpoint"].encode(), sources)
        if encode_head(head) != data:
            raise HeadInvalid
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HeadInvalid from error
    return head


def _position(found: dict[str, Any]) -> dict[str, str | int]:
    if not all(type(value) in (str, int) for value in found.values()):
        raise HeadInvalid
    return found
