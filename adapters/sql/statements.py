"""Statements, declared once as constants: the only SQL that a source will ever send.

    BY_NUMBER = Statement("licence.by_number", "SELECT number, holder FROM licence WHERE number = %(number)s")
    OF_WARD = PagedStatement(
        "licence.of_ward",
        "SELECT number, holder FROM licence WHERE ward = %(ward)s AND number > %(after_number)s"
        " ORDER BY number LIMIT %(size)s",
        start={"number": ""},
    )

Values travel beside the statement, which the server prepares: whatever they hold, they are compared, never executed.
Pages are found by key, not by offset: a page costs the same however far it lies, and rows that are entered or deleted
meanwhile neither repeat nor hide another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, LiteralString

__all__ = ["Key", "PagedStatement", "Statement"]

Key = str | int
_NAME: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_READS: Final = re.compile(r"\s*(SELECT|WITH)\b", re.IGNORECASE)
_VALUE: Final = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class Statement:
    """One SELECT; values stand in it as `%(name)s`, a percent sign as `%%`."""

    name: str
    """What spans call it: 1-64 of a-z, 0-9, dot and underscore."""
    text: LiteralString

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("a statement's name is 1-64 of a-z, 0-9, dot and underscore, such as licence.by_number")
        if not _READS.match(self.text):
            raise ValueError(f"{self.name} does not read: a source's statement is a SELECT")

    @property
    def values(self) -> frozenset[str]:
        """Names of the values that it takes."""
        return frozenset(_VALUE.findall(self.text))


@dataclass(frozen=True, slots=True)
class PagedStatement(Statement):
    """One SELECT that is asked page after page.

    It selects each key column, asks for rows beyond `%(after_<column>)s`, and ends in
    `ORDER BY <key columns> LIMIT %(size)s`. Together the key columns are unique and never NULL. They travel in the
    page's token, legible to whoever is given the page: choose such as the answer shows anyway.
    """

    start: Mapping[str, Key]
    """The key columns, texts or whole numbers, each with a value below all others: the first page lies beyond it."""

    def __post_init__(self) -> None:
        Statement.__post_init__(self)
        order = r"\s*,\s*".join(rf"(?:\w+\.)?{re.escape(column)}" for column in self.start)
        if not self.start or not re.search(
            rf"\sORDER\s+BY\s+{order}\s+LIMIT\s+%\(size\)s\s*$", self.text, re.IGNORECASE
        ):
            raise ValueError(f"{self.name} is paged: let it end in ORDER BY {', '.join(self.start)} LIMIT %(size)s")
        if missing := sorted(after(column) for column in self.start if after(column) not in self.values):
            raise ValueError(f"{self.name} is paged: let it ask for rows beyond %({missing[0]})s")


def after(column: str) -> str:
    """The name of the value that stands for the last row seen."""
    return f"after_{column}"
