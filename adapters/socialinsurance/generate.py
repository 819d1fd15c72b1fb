"""Who of a made-up population works for which made-up enterprise: for each person by itself, deterministic for a seed.

What a person has does not depend on who stands before them, so that one can be told without making all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from adapters.population.generate import DEFAULT_YEAR
from adapters.population.records import PersonRecord

__all__ = ["EmploymentRecord", "employment_of", "employments"]

_YOUNGEST: Final = 20
_OLDEST: Final = 61
_EMPLOYED: Final = 0.65  # of those of that age
_LEAST_VND: Final = 4_500_000  # a month; up to seven times as much


@dataclass(frozen=True, slots=True)
class EmploymentRecord:
    person: str
    employer: str  # tax code
    months: int  # for which contributions were paid
    salary_vnd: int  # a month, that contributions are paid for


def employment_of(person: PersonRecord, employers: Sequence[str], seed: int) -> EmploymentRecord | None:
    """`employers` are the tax codes of the same nation (adapters.business.generate.tax_codes)."""
    age = DEFAULT_YEAR - person.birthday.year
    drawn = blake2b(f"{seed} {person.number}".encode(), digest_size=8).digest()
    if not person.alive or not _YOUNGEST <= age <= _OLDEST or drawn[0] >= 256 * _EMPLOYED:
        return None
    return EmploymentRecord(
        person=person.number,
        employer=employers[int.from_bytes(drawn[1:5]) % len(employers)],
        months=1 + drawn[5] * 12 * (age - _YOUNGEST + 1) // 256,
        salary_vnd=_LEAST_VND + drawn[6] * _LEAST_VND * 6 // 256 // 10_000 * 10_000,
    )


def employments(people: Iterable[PersonRecord], employers: Sequence[str], seed: int) -> Iterator[EmploymentRecord]:
    """In the order of the population."""
    for person in people:
        found = employment_of(person, employers, seed)
        if found:
            yield found
