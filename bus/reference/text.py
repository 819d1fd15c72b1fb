"""Comments of a contract as paragraphs: what stands in backticks is code, all the rest is plain text.

A contract is somebody else's text. Nothing in it becomes markup: the templates escape every piece.
"""

import re
from dataclasses import dataclass
from typing import Final

from bus.exchange.meanings import CODES

__all__ = ["Piece", "Text", "parse_comment", "summary_of", "who_may_call"]

_MAY_CALL: Final = re.compile(
    r"(?:The caller must|Whoever may|Anybody|Any member|Only|Called by|Made by|For brokers)\b.*?(?:\.(?=\s|$)|$)",
    re.DOTALL,
)


_STATUS: Final = "|".join(code.name for code in CODES.values())
_PARTED: Final = re.compile(rf"\n\s*\n|\n(?=\s*- )|(?<=[.])\s(?=(?:{_STATUS}): )")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text; `code` when it stood in backticks."""

    text: str
    code: bool


Text = tuple[tuple[Piece, ...], ...]
"""Paragraphs."""


def parse_comment(comment: str) -> Text:
    """Paragraphs are parted by empty lines; a hyphen at a line's start, or a status (`NOT_FOUND:`), begins one, too."""
    blocks = _PARTED.split(comment.strip())
    return tuple(_pieces(" ".join(block.split())) for block in blocks if block.strip())


def summary_of(comment: str) -> str:
    """The first sentence, without backticks."""
    first = " ".join(comment.strip().split("\n\n")[0].split()).replace("`", "")
    return re.split(r"(?<=[.?!])\s", first, maxsplit=1)[0]


def who_may_call(comment: str) -> tuple[str, str]:
    """A method's comment in two: the sentence that says who may call it, and the rest; the first may be empty."""
    found = _MAY_CALL.search(comment)
    if found is None:
        return "", comment
    return found[0], f"{comment[: found.start()]}{comment[found.end() :]}"


def _pieces(line: str) -> tuple[Piece, ...]:
    parts = line.split("`")
    if len(parts) % 2 == 0:  # a backtick without its other one is a backtick
        return (Piece(line, False),)
    return tuple(Piece(part, index % 2 == 1) for index, part in enumerate(parts) if part)
