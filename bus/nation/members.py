"""Who there is in a nation, what each offers and holds, and who may ask whom for which purpose. A table, nothing else.

bus.nation.founding records of it what a registry does not know yet; bus.nation.running starts the programs. A program
is started as `python -m PROGRAM --config FILE` and, where it holds data, `--database FILE` (bus.nation.server).
"""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "BIRTHS",
    "CIVIL_STATUS",
    "CLIENTS",
    "GRANTS",
    "HANOI",
    "MEMBERS",
    "POPULATION",
    "PORTAL",
    "PROGRAMS",
    "UNITS",
    "GrantRow",
    "Program",
]

UNITS: Final = "gov/moha/units"
POPULATION: Final = "gov/mps/population"
CIVIL_STATUS: Final = "gov/moj/civil-status"
HANOI: Final = "gov/hanoi/civil-status"
PORTAL: Final = "gov/moj/portal"

BIRTHS: Final = "civil.birth"
"""The purpose of everything that a birth needs."""

MEMBERS: Final = {
    "gov/moha": ("Bộ Nội vụ", "Ministry of Home Affairs"),
    "gov/mps": ("Bộ Công an", "Ministry of Public Security"),
    "gov/moj": ("Bộ Tư pháp", "Ministry of Justice"),
    "gov/hanoi": ("Ủy ban nhân dân thành phố Hà Nội", "People's Committee of Hanoi"),
}
"""Names in Vietnamese and English."""


@dataclass(frozen=True, slots=True)
class Program:
    """A member's system and its process."""

    path: str
    module: str
    service: str = ""
    """What it offers on the bus; empty for a client."""
    database: bool = True
    """Whether it holds data."""
    people: bool = False
    """Whether it is told how many people there are (`--people`)."""


PROGRAMS: Final = (
    Program(UNITS, "adapters.administrative", "vn.administrative.v1.AdministrativeUnitService"),
    Program(POPULATION, "adapters.population", "vn.population.v1.PopulationService", people=True),
    Program(CIVIL_STATUS, "adapters.civilstatus", "vn.civilstatus.v1.CivilStatusService"),
    Program(HANOI, "adapters.civilstatus", "vn.civilstatus.v1.CivilStatusService"),
)

CLIENTS: Final = (PORTAL,)
"""Systems that are registered and have no process here."""


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant: `client` may call `methods` of `provider` for `purposes`."""

    grant_id: str
    client: str
    provider: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...] = (BIRTHS,)


def _of(service: str, *names: str) -> tuple[str, ...]:
    return tuple(f"/{service}/{name}" for name in names)


_WARDS: Final = _of("vn.administrative.v1.AdministrativeUnitService", "ResolveUnit")
_NEWBORN: Final = _of("vn.population.v1.PopulationService", "GetPerson", "RegisterNewborn")
_BIRTHS: Final = _of("vn.civilstatus.v1.CivilStatusService", "RegisterBirth", "GetBirthCertificate")

GRANTS: Final = (
    GrantRow("births-ministry", PORTAL, CIVIL_STATUS, _BIRTHS),
    GrantRow("births-hanoi", PORTAL, HANOI, _BIRTHS),
    GrantRow("wards-portal", PORTAL, UNITS, _WARDS),
    GrantRow("wards-ministry", CIVIL_STATUS, UNITS, _WARDS),
    GrantRow("wards-hanoi", HANOI, UNITS, _WARDS),
    GrantRow("newborn-ministry", CIVIL_STATUS, POPULATION, _NEWBORN),
    GrantRow("newborn-hanoi", HANOI, POPULATION, _NEWBORN),
)
