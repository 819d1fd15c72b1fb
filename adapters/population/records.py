"""What the register knows of one person, and how a person number is made.

Plain values only: messages belong to the service, rows to the store.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Birthday", "Name", "PersonRecord", "person_number"]

FIRST_YEAR, LAST_YEAR = 1900, 2099  # the years that the contract's person numbers can tell


@dataclass(frozen=True, slots=True)
class Name:
    family: str
    middle: str
    given: str


@dataclass(frozen=True, slots=True, order=True)
class Birthday:
    """Parts that are not known are 0."""

    year: int
    month: int
    day: int


@dataclass(frozen=True, slots=True)
class PersonRecord:
    number: str
    name: Name
    birthday: Birthday
    female: bool
    alive: bool
    ward: str  # code in the current list
    address: str
    mother: str  # person number; empty when the register has none
    father: str


def person_number(province: str, year: int, female: bool, serial: int) -> str:
    """The 12 digits: 0 and the province, century and sex, year, serial (0-999,999).

    `province` is the 2-digit code of the province of registration.
    Raises ValueError for a year outside 1900-2099.
    """
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError("person numbers are made for births from 1900 to 2099")
    century = (year - FIRST_YEAR) // 100 * 2 + female
    return f"0{province}{century}{year % 100:02d}{serial:06d}"
