"""The number of a birth in the books: whose book, then ward, year and serial in it.

    gov.hanoi.civil-status:00097-2026-000012

Each office counts for itself, so the number names the office: by its path on the bus, which the registry gives to one
subsystem only, with dots for the slashes (no part of a path holds one). Numbers from before offices were named have
none; they are found as they were issued.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["RegistrationNumber", "parse_registration_number"]

_LABEL: Final = r"[a-z0-9-]{1,63}"
_NUMBER: Final = re.compile(rf"(?:({_LABEL}(?:\.{_LABEL}){{2}}):)?([0-9]{{5}})-([0-9]{{4}})-([0-9]{{6}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class RegistrationNumber:
    """One entry of one book."""

    office: str  # path on the bus, such as gov/hanoi/civil-status; empty in numbers from before
    ward: str  # code in the list of the day of registration
    year: int
    serial: int

    @property
    def in_book(self) -> str:
        """Without the office: what is unique in its book, and at the central store, which names records by source."""
        return f"{self.ward}-{self.year:04d}-{self.serial:06d}"

    def __str__(self) -> str:
        return f"{self.office.replace('/', '.')}:{self.in_book}" if self.office else self.in_book


def parse_registration_number(text: str) -> RegistrationNumber:
    """ValueError, without the text, if it is none."""
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ValueError("not a registration number: [office:]ward-year-serial")
    office, ward, year, serial = found.groups(default="")
    return RegistrationNumber(office.replace(".", "/"), ward, int(year), int(serial))
