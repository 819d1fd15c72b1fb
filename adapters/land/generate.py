"""A parcel for each household of a made-up population, deterministic for its seed.

Who lives at one address in one ward, one after another in the order of the population, is a household. The parcel is
held by its first living member. Newborns, and whoever else population enters later, are not registered here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from random import Random
from typing import Final

from adapters.population.records import PersonRecord

__all__ = ["ParcelRecord", "parcels"]

_SHEETS: Final = 60  # map sheets of a ward, so many at most
_AREA_DM2: Final = {True: (3_000, 25_000), False: (12_000, 200_000)}  # least and most, in a town and elsewhere


@dataclass(frozen=True, slots=True)
class ParcelRecord:
    parcel_id: str  # ward, sheet, number
    address: str
    area_dm2: int
    urban: bool
    holder: str  # person number
    residents: tuple[str, ...]  # person numbers, the holder's among them

    @property
    def ward(self) -> str:
        """Code in the current list."""
        return self.parcel_id[:5]


def parcels(people: Iterable[PersonRecord], seed: int) -> Iterator[ParcelRecord]:
    """In the order of the population."""
    random = Random(f"land {seed}")  # noqa: S311 - the same parcels for the same seed; nothing secret
    numbers: Counter[str] = Counter()
    for (ward, address), household in groupby(people, lambda person: (person.ward, person.address)):
        numbers[ward] += 1
        yield _parcel(random, ward, numbers[ward], address, list(household))


def _parcel(random: Random, ward: str, number: int, address: str, household: list[PersonRecord]) -> ParcelRecord:
    urban = address.startswith("Số")
    return ParcelRecord(
        parcel_id=f"{ward}-{random.randint(1, _SHEETS):03d}-{number:04d}",
        address=address,
        area_dm2=random.randint(*_AREA_DM2[urban]),
        urban=urban,
        holder=next((person.number for person in household if person.alive), household[0].number),
        residents=tuple(person.number for person in household),
    )
