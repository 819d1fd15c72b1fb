"""How a table is laid out: for a terminal of some width, or for a pipe.

1. A row ends where its last cell does: nothing is padded to the right.
2. For a pipe a row is one line, whatever its length: `grep`, `awk` and `cut` see whole rows.
3. For a terminal a table that is too wide folds its last column, at spaces; where that column has no room beside the
   others, the row goes on in further lines, indented. No word, name or path is ever broken or cut off.
"""

import textwrap
import unicodedata
from collections.abc import Sequence
from typing import Final

__all__ = ["cell_width", "folded", "table_lines"]

_GAP: Final = "  "
_INDENT: Final = "    "
_LEAST_LAST: Final = 16
"""Columns of a terminal; in less a text is confetti, as it is where one of its words has no room."""


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> list[list[str]]:
    """For the head (unless all of it is empty) and then for each row, its lines. `width`: None for a pipe."""
    every = [columns, *rows] if any(columns) else list(rows)
    widths = [max(map(cell_width, cells)) for cells in zip(*every, strict=True)] if every else []
    before = sum(widths[:-1]) + len(_GAP) * (len(widths) - 1)
    if width is None or before + (widths or [0])[-1] <= width:
        return [[_joined(row, widths)] for row in every]
    if width - before >= max([_LEAST_LAST, *(cell_width(word) for row in every for word in row[-1].split())]):
        return [_hanging(row, widths, before, width - before) for row in every]
    kept = _fitting(widths, width)
    return [[_joined(row[:kept], widths[:kept]), *_flowing(row[kept:], width)] for row in every]


def cell_width(text: str) -> int:
    """Columns of a terminal that `text` takes."""
    return len(text) if text.isascii() else sum(map(_width, text))


def folded(text: str, width: int | None, indent: str = "") -> str:
    """`text` in lines of at most `width`, where its words allow it, all but the first with `indent` before them."""
    if width is None:
        return text
    start = text[: len(text) - len(text.lstrip())]
    return "\n".join(_wrap(text.strip(), width, indent, start)) or text


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _joined(row: Sequence[str], widths: Sequence[int]) -> str:
    return _GAP.join(cell + " " * (width - cell_width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()


def _hanging(row: Sequence[str], widths: Sequence[int], before: int, room: int) -> list[str]:
    first, *others = _wrap(row[-1], room) or [""]
    return [_joined([*row[:-1], first], widths), *(" " * before + other for other in others)]


def _fitting(widths: Sequence[int], width: int) -> int:
    """How many of the first columns have room beside each other; at least one."""
    taken = 0
    for number, each in enumerate(widths):
        taken += each + (len(_GAP) if number else 0)
        if number and taken > width:
            return number
    return len(widths)


def _flowing(cells: Sequence[str], width: int) -> list[str]:
    """One after the other, as many on a line as fit."""
    lines: list[str] = []
    for cell in filter(None, cells):
        longer = f"{lines[-1]}{_GAP}{cell}" if lines else ""
        if longer and cell_width(longer) <= width:
            lines[-1] = longer
        else:
            lines += _wrap(cell, width, _INDENT, _INDENT)
    return lines


def _wrap(text: str, width: int, indent: str = "", first: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        max(width, len(indent) + 1),
        initial_indent=first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
