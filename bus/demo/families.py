"""Who gives birth in the story: families of the seed, and what the seed says that must come of it.

Asked of the adapters' own tool, since bus imports no adapter. Nothing here comes from what answers a call: it is what
answers are held against.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Final

from bus.demo.report import DemoError

__all__ = ["GRANTED", "HANOI_CODE", "Family", "Sample", "take_family", "take_sample"]

GRANTED: Final = "granted"
HANOI_CODE: Final = "01"
_KINDS_OF_THE_PROVINCE: Final = ("employer-not-operating", "not-insured", GRANTED)  # another end than the first's
_SECONDS: Final = 120


@dataclass(frozen=True, slots=True, repr=False)
class Family:
    """Parents, who live in the mother's ward, and what comes of her claim."""

    kind: str
    mother: dict[str, Any]
    father: dict[str, Any]

    @property
    def allowance(self) -> bool:
        """Whether she is to get one."""
        return self.kind == GRANTED

    @property
    def numbers(self) -> tuple[str, str]:
        """Of mother and father."""
        return self.mother["person_number"], self.father["person_number"]

    @property
    def names(self) -> tuple[str, str]:
        """Of mother and father, as one writes them."""
        return _full_name(self.mother), _full_name(self.father)


@dataclass(frozen=True, slots=True, repr=False)
class Sample:
    """Families, and wards of the old list."""

    first: Family
    after_a_kill: Family
    in_an_outage: Family
    of_the_province: Family
    old_ward: dict[str, Any]
    """Went whole into one of today."""
    split_ward: dict[str, Any]

    @property
    def today(self) -> str:
        """The list that is in force."""
        return str(self.old_ward["successors"]["code_list_version"])


def take_family(people: int) -> tuple[Family, str]:
    """One family of so many people, to whom the allowance is granted if there is such, and today's list of wards."""
    whole = _ask(people, "--families", "1")
    for kind in (GRANTED, *_KINDS_OF_THE_PROVINCE):
        for one in whole["families"][kind]:
            return Family(kind, **one), str(whole["old_ward"]["successors"]["code_list_version"])
    raise DemoError(
        f"among {people:,} people there is no couple; begin a nation with more: govbus up --nation --people N"
    )


def take_sample(people: int) -> Sample:
    """Those that registers with so many people know; DemoError when there are too few."""
    whole, province = _ask(people, "--families", "3"), _ask(people, "--families", "1", "--province", HANOI_CODE)
    of_hanoi = [Family(kind, **one) for kind in _KINDS_OF_THE_PROVINCE for one in province["families"][kind]]
    granted = [Family(GRANTED, **one) for one in whole["families"][GRANTED]]
    if len(granted) < 3 or not of_hanoi:
        raise DemoError(
            f"among {people:,} people there are too few families for the story; begin anew with --people 2000 or more"
        )
    return Sample(granted[0], granted[1], granted[2], of_hanoi[0], whole["old_ward"], whole["split_ward"])


def _ask(people: int, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "adapters.portal.sample", "--people", str(people), *options]
    utf8 = os.environ | {"PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run(command, capture_output=True, timeout=_SECONDS, env=utf8, check=False)
    if ran.returncode != 0:
        raise DemoError("python -m adapters.portal.sample does not work here; run `make env` again")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def _full_name(person: dict[str, Any]) -> str:
    name = person["name"]
    return f"{name['family']} {name['middle']} {name['given']}"
