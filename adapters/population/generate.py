"""Make up a population: households in real current wards, deterministic for a seed.

Synthetic from end to end. The same seed, size and year give the same people in
the same order on every machine, so that a test or a demonstration can name one.
Households are what a birth needs: couples, their children, a grandmother, and
people who live alone. Numbers are structurally valid and unique among
themselves; as they are drawn freely, one may by chance be a real person's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, repeat
from random import Random

from adapters.administrative.table import CURRENT_LIST, Level, Unit, UnitTable
from adapters.population.names import draw_address, draw_family, draw_given, draw_middle
from adapters.population.records import Birthday, Name, PersonRecord, person_number

__all__ = ["DEFAULT_PEOPLE", "DEFAULT_SEED", "DEFAULT_YEAR", "generate"]

DEFAULT_SEED = 2026
DEFAULT_PEOPLE = 100_000
DEFAULT_YEAR = 2025  # the last year in which a generated person may be born

DATES_BEFORE = 1955  # birth entries from before are often known by year only


def generate(table: UnitTable, seed: int, people: int, year: int) -> Iterator[PersonRecord]:
    """Exactly `people` persons, household after household; the last household may be cut short.

    The first ones of a seed are the same, however many there are.
    """
    maker = _Maker(Random(seed), table, year)  # noqa: S311 - the same people for the same seed; nothing secret
    return islice(chain.from_iterable(maker.household() for _ in repeat(None)), people)


@dataclass(frozen=True, slots=True)
class _Home:
    ward: Unit
    address: str


class _Maker:
    def __init__(self, random: Random, table: UnitTable, year: int) -> None:
        self._random = random
        self._table = table
        self._year = year
        self._wards = tuple(table.units(CURRENT_LIST, Level.WARD))
        self._taken: set[str] = set()

    def household(self) -> Iterator[PersonRecord]:
        """Elders come before their children, so that a parent is in the register before the child."""
        random = self._random
        ward = random.choice(self._wards)
        home = _Home(ward, draw_address(random, in_town=ward.name.startswith("Phường")))
        if random.random() < 0.15:
            yield self._person(home, self._year - random.randint(20, 85), female=random.random() < 0.55)
            return
        wife_born = self._year - random.randint(20, 62)
        grandmother = None
        if random.random() < 0.2:
            grandmother = self._person(home, wife_born - random.randint(19, 36), female=True, frail=True)
            yield grandmother
        husband_born = wife_born - random.randint(-2, 7)
        of_husband = grandmother if grandmother and husband_born - grandmother.birthday.year >= 17 else None
        husband = self._person(home, husband_born, female=False, mother=of_husband)
        wife = self._person(home, wife_born, female=True)
        yield husband
        yield wife
        born = wife_born + random.randint(20, 30)
        for _ in range(random.choice((0, 1, 1, 2, 2, 2, 3))):
            if born > self._year or self._year - born > 24:  # not yet, or long moved out
                break
            yield self._person(home, born, female=random.random() < 0.47, mother=wife, father=husband)
            born += random.randint(2, 6)

    def _person(
        self,
        home: _Home,
        born: int,
        *,
        female: bool,
        frail: bool = False,
        mother: PersonRecord | None = None,
        father: PersonRecord | None = None,
    ) -> PersonRecord:
        random = self._random
        parent = father or mother
        family = father.name.family if father else draw_family(random)
        name = Name(family, draw_middle(random, female), draw_given(random, female))
        whole = born >= DATES_BEFORE or random.random() < 0.4
        birthday = Birthday(born, random.randint(1, 12), random.randint(1, 28)) if whole else Birthday(born, 0, 0)
        return PersonRecord(
            number=self._number(home.ward, born, female, registered_here=parent is not None),
            name=name,
            birthday=birthday,
            female=female,
            alive=not (frail and random.random() < 0.3),
            ward=home.ward.code,
            address=home.address,
            mother=mother.number if mother else "",
            father=father.number if father else "",
        )

    def _number(self, ward: Unit, born: int, female: bool, registered_here: bool) -> str:
        """A fresh number of the province of birth, which for those who moved in is anywhere.

        Provinces of a birth before July 2025 are the old ones.
        """
        random = self._random
        here = ward if registered_here or random.random() < 0.8 else random.choice(self._wards)
        province = self._table.unit(CURRENT_LIST, here.province_code)
        before = self._table.predecessors(province)
        while True:
            number = person_number(random.choice(before).code, born, female, random.randrange(1_000_000))
            if number not in self._taken:
                self._taken.add(number)
                return number
