"""Name synthetic families of a seed with what a birth of theirs must come to: `python -m adapters.portal.sample`.

Prints one JSON object: for each kind of family some couples, whose parcels, employers and insurance are what the
running adapters of the same seed and size have; and old wards that went whole into one new ward or were split.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from adapters.administrative.table import CURRENT_LIST, UnitTable, load_table
from adapters.business.generate import Status, tax_codes
from adapters.business.generate import generate as generate_enterprises
from adapters.population.generate import DEFAULT_PEOPLE, DEFAULT_SEED, DEFAULT_YEAR, generate
from adapters.population.records import PersonRecord
from adapters.population.sample import couples, described, sample
from adapters.socialinsurance.generate import EmploymentRecord, employment_of
from adapters.socialinsurance.rules import LEAST_MONTHS

__all__ = ["Family", "Kind", "families"]


class Kind(StrEnum):
    """What comes of the mother's claim."""

    GRANTED = "granted"
    EMPLOYER_NOT_OPERATING = "employer-not-operating"
    NOT_INSURED = "not-insured"


@dataclass(frozen=True, slots=True)
class Family:
    """Parents of small children; their home is in the mother's ward."""

    kind: Kind
    mother: PersonRecord
    father: PersonRecord


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Name synthetic families of a seed by what comes of a birth, as JSON.")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED)
    parser.add_argument("--people", type=int, default=DEFAULT_PEOPLE)
    parser.add_argument("--families", type=int, default=3, help="of each kind")
    parser.add_argument("--province", default="", help="code in today's list: only families who live there")
    given = parser.parse_args(arguments)
    table = load_table()
    found = families(table, given.seed, given.people)
    if given.province:
        found = (one for one in found if table.unit(CURRENT_LIST, one.mother.ward).province_code == given.province)
    json.dump(_told(table, found, given.families), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")
    return 0


def families(table: UnitTable, seed: int, people: int) -> Iterator[Family]:
    """In the order of the population; made as they are asked for."""
    codes = tax_codes(seed, people)
    statuses = {each.tax_code: each.status for each in generate_enterprises(table, seed, people)}
    for mother, father in couples(generate(table, seed, people, DEFAULT_YEAR)):
        yield Family(_kind(employment_of(mother, codes, seed), statuses), mother, father)


def _kind(employment: EmploymentRecord | None, statuses: Mapping[str, Status]) -> Kind:
    if employment is None or employment.months < LEAST_MONTHS:
        return Kind.NOT_INSURED
    operates = statuses[employment.employer] is Status.OPERATING
    return Kind.GRANTED if operates else Kind.EMPLOYER_NOT_OPERATING


def _told(table: UnitTable, given: Iterator[Family], number: int) -> dict[str, object]:
    """As adapters.population.sample has it, couples by kind."""
    found: dict[Kind, list[dict[str, object]]] = {kind: [] for kind in Kind}
    for family in given:
        if len(found[family.kind]) < number:
            found[family.kind].append({"mother": described(family.mother), "father": described(family.father)})
        if all(len(each) == number for each in found.values()):
            break
    wards = sample(table, (), 0)
    return {"synthetic": True, "families": found, "old_ward": wards["old_ward"], "split_ward": wards["split_ward"]}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
