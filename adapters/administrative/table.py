"""The unit tables in memory: what a code means in its list, what it became, what it was made of.

A unit is named by list and code together; the same code in two lists is two
units, and a lookup by code alone does not exist here. Successors are a tuple,
never one: whoever wants one has to look whether there is one. Everything is
read once from the files beside this module (see data/README.md for where they
come from) and never changes afterwards.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

__all__ = [
    "CURRENT_LIST",
    "DATA",
    "NEW_LIST",
    "OLD_LIST",
    "Level",
    "Unit",
    "UnitTable",
    "UnknownUnit",
    "lists_version",
    "load_table",
]

DATA = Path(__file__).parent / "data"

# A list is named after its issuer, the statistics office, and a month in which it was in force.
OLD_LIST = "gso-2025-06"  # 63 provinces, 696 districts, 10,035 wards; ended on 30 June 2025
NEW_LIST = "gso-2025-07"  # 34 provinces, 3,321 wards; began on 1 July 2025
CURRENT_LIST = NEW_LIST

_FILES = (f"units-{OLD_LIST}.csv", f"units-{NEW_LIST}.csv", f"successors-{NEW_LIST}.csv")


class UnknownUnit(LookupError):
    """No such list, or no such code in it."""


class Level(IntEnum):
    """Tier, told by the length of the code in both lists."""

    PROVINCE = 2
    DISTRICT = 3
    WARD = 5


@dataclass(frozen=True, slots=True)
class Unit:
    code_list: str
    code: str
    name: str
    parent_code: str  # in the same list; empty for a province
    province_code: str  # in the same list; a province names itself

    @property
    def level(self) -> Level:
        return Level(len(self.code))


class UnitTable:
    """Read-only lookups over all lists; every answer is in order of codes."""

    def __init__(self, lists: dict[str, dict[str, Unit]], pairs: list[tuple[str, str]]) -> None:
        self._lists = lists
        self._after: dict[str, list[Unit]] = defaultdict(list)
        self._before: dict[str, list[Unit]] = defaultdict(list)
        for old, new in sorted(pairs):
            self._after[old].append(lists[NEW_LIST][new])
            self._before[new].append(lists[OLD_LIST][old])

    def unit(self, code_list: str, code: str) -> Unit:
        """The unit of that code in that list. Raises UnknownUnit."""
        try:
            return self._lists[code_list][code]
        except KeyError:
            raise UnknownUnit from None

    def successors(self, unit: Unit) -> tuple[Unit, ...]:
        """The current units that took over its territory; itself, when it is current.

        Empty for an old district that had wards: its territory is told ward by ward.
        """
        if unit.code_list == CURRENT_LIST:
            return (unit,)
        return tuple(self._after.get(unit.code, ()))

    def predecessors(self, unit: Unit) -> tuple[Unit, ...]:
        """The units of the list before, wholly or partly inside it; empty in the oldest list."""
        if unit.code_list == OLD_LIST:
            return ()
        return tuple(self._before.get(unit.code, ()))

    def units(self, code_list: str, level: Level | None = None, within: str = "") -> Iterator[Unit]:
        """Units of one list, of one level if given, in one province or district if given.

        The unit named by `within` is not part of the answer. Raises UnknownUnit at once, not while iterating.
        """
        if code_list not in self._lists or (within and within not in self._lists[code_list]):
            raise UnknownUnit
        return (
            unit
            for unit in self._lists[code_list].values()
            if (level is None or unit.level is level)
            and (not within or within in (unit.parent_code, unit.province_code))
            and unit.code != within
        )


def lists_version(folder: Path = DATA) -> str:
    """What tells these lists from others: a digest of the files."""
    digest = hashlib.sha256()
    for name in _FILES:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def load_table(folder: Path = DATA) -> UnitTable:
    """Read the tables that derive.py wrote: about 14,000 units, some 50 ms."""
    lists = {name: _load_list(folder / f"units-{name}.csv", name) for name in (OLD_LIST, NEW_LIST)}
    with (folder / f"successors-{NEW_LIST}.csv").open(encoding="utf-8", newline="") as file:
        pairs = [(row["old_code"], row["new_code"]) for row in csv.DictReader(file)]
    return UnitTable(lists, pairs)


def _load_list(path: Path, name: str) -> dict[str, Unit]:
    """Parents stand before their children: shorter codes come first in the file."""
    units: dict[str, Unit] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            code, parent = row["code"], row["parent_code"]
            province = units[parent].province_code if parent else code
            units[code] = Unit(name, code, row["name"], parent, province)
    return units
