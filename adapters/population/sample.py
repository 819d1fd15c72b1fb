"""Name some synthetic people of a seed, for a demonstration or a try by hand: `python -m adapters.population.sample`.

Prints one JSON object: couples who could have a child (numbers, names, birth dates, ward), and old wards that went
whole into one new ward or were split. The same seed and size as the running register give people that it knows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice

from adapters.administrative.table import CURRENT_LIST, OLD_LIST, Level, UnitTable, load_table
from adapters.population.generate import DEFAULT_PEOPLE, DEFAULT_SEED, DEFAULT_YEAR, generate
from adapters.population.records import PersonRecord

__all__ = ["couples", "described", "sample"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Name some synthetic people of a seed, as JSON.")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--people", type=int, default=DEFAULT_PEOPLE)
    parser.add_argument("--couples", type=int, default=3)
    given = parser.parse_args(arguments)
    table = load_table()
    people = generate(table, given.seed, given.people, DEFAULT_YEAR)
    json.dump(sample(table, people, given.couples), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")
    return 0


def sample(table: UnitTable, people: Iterable[PersonRecord], number: int) -> dict[str, object]:
    """See the module's text; `number` couples, in the order of the register."""
    wards = list(table.units(OLD_LIST, Level.WARD))
    return {
        "synthetic": True,
        "couples": [
            {"mother": described(mother), "father": described(father)}
            for mother, father in islice(couples(people), number)
        ],
        "old_ward": _ward(next(ward.code for ward in wards if len(table.successors(ward)) == 1), table),
        "split_ward": _ward(next(ward.code for ward in wards if len(table.successors(ward)) > 2), table),
    }


def couples(people: Iterable[PersonRecord]) -> Iterator[tuple[PersonRecord, PersonRecord]]:
    """Mothers and fathers of small children, who may well have another. Parents stand before their children."""
    by_number: dict[str, PersonRecord] = {}
    seen: set[str] = set()
    for child in people:
        by_number[child.number] = child
        if child.mother and child.father and child.birthday.year >= DEFAULT_YEAR - 5 and child.mother not in seen:
            seen.add(child.mother)
            yield by_number[child.mother], by_number[child.father]


def described(person: PersonRecord) -> dict[str, object]:
    """What a form asks of a person."""
    name, birthday = person.name, person.birthday
    return {
        "person_number": person.number,
        "name": {"family": name.family, "middle": name.middle, "given": name.given},
        "birth_date": {"year": birthday.year, "month": birthday.month, "day": birthday.day},
        "ward": person.ward,
    }


def _ward(code: str, table: UnitTable) -> dict[str, object]:
    unit = table.unit(OLD_LIST, code)
    return {
        "code_list_version": OLD_LIST,
        "code": code,
        "name": unit.name,
        "successors": {
            "code_list_version": CURRENT_LIST,
            "codes": {each.code: each.name for each in table.successors(unit)},
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
