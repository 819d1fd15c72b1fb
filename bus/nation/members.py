"""Who there is in a nation, what each offers and holds, and who may ask whom for which purpose. A table, nothing else.

bus.nation.founding records of it what a registry does not know yet; bus.nation.running starts the programs. A program
is started as `python -m PROGRAM --config FILE` and what else it is told: `--database FILE` (bus.nation.server),
`--people N` (bus.nation.settled), `--socket PATH` (bus.nation.places).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = [
    "BIRTHS",
    "BUSINESS",
    "CIVIL_STATUS",
    "DIRECTORY",
    "GRANTS",
    "HANOI",
    "INSURANCE",
    "INSURED_BIRTHS",
    "LAND",
    "MEMBERS",
    "POPULATION",
    "PORTAL",
    "PROGRAMS",
    "REGISTRY",
    "RESIDENCE",
    "STORE",
    "UNITS",
    "GrantRow",
    "Program",
    "Says",
]

UNITS: Final = "gov/moha/units"
POPULATION: Final = "gov/mps/population"
CIVIL_STATUS: Final = "gov/moj/civil-status"
HANOI: Final = "gov/hanoi/civil-status"
INSURANCE: Final = "gov/vss/insurance"
BUSINESS: Final = "gov/mof/business"
LAND: Final = "gov/mae/land"
STORE: Final = "gov/ndc/store"
PORTAL: Final = "gov/moj/portal"

REGISTRY: Final = "gov/ndc/registry"
"""The operator's own; it keeps the contracts, which `govbus call` asks for as the portal."""

BIRTHS: Final = "civil.birth"
INSURED_BIRTHS: Final = "insurance.birth"
RESIDENCE: Final = "residence.proof"
DIRECTORY: Final = "directory"

MEMBERS: Final = {
    "gov/moha": ("Bộ Nội vụ", "Ministry of Home Affairs"),
    "gov/mps": ("Bộ Công an", "Ministry of Public Security"),
    "gov/moj": ("Bộ Tư pháp", "Ministry of Justice"),
    "gov/hanoi": ("Ủy ban nhân dân thành phố Hà Nội", "People's Committee of Hanoi"),
    "gov/vss": ("Bảo hiểm xã hội Việt Nam", "Viet Nam Social Security"),
    "gov/mof": ("Bộ Tài chính", "Ministry of Finance"),
    "gov/mae": ("Bộ Nông nghiệp và Môi trường", "Ministry of Agriculture and Environment"),
}
"""Names in Vietnamese and English. gov/ndc, the store's, is the operator's own, founded with the instance."""


class Says(StrEnum):
    """What a program is told beside its configuration."""

    DATABASE = "--database"
    PEOPLE = "--people"
    SOCKET = "--socket"


@dataclass(frozen=True, slots=True)
class Program:
    """A member's system and its process."""

    path: str
    module: str
    service: str = ""
    """What it offers on the bus; empty for a client."""
    told: frozenset[Says] = frozenset({Says.DATABASE})

    @property
    def database(self) -> bool:
        """Whether it holds data."""
        return Says.DATABASE in self.told


_SEEDED: Final = frozenset({Says.DATABASE, Says.PEOPLE})

PROGRAMS: Final = (
    Program(UNITS, "adapters.administrative", "vn.administrative.v1.AdministrativeUnitService"),
    Program(POPULATION, "adapters.population", "vn.population.v1.PopulationService", _SEEDED),
    Program(CIVIL_STATUS, "adapters.civilstatus", "vn.civilstatus.v1.CivilStatusService"),
    Program(HANOI, "adapters.civilstatus", "vn.civilstatus.v1.CivilStatusService"),
    Program(INSURANCE, "adapters.socialinsurance", "vn.socialinsurance.v1.SocialInsuranceService", _SEEDED),
    Program(BUSINESS, "adapters.business", "vn.business.v1.BusinessService", _SEEDED),
    Program(LAND, "adapters.land", "vn.land.v1.LandService", _SEEDED),
    Program(STORE, "adapters.store", "vn.store.v1.StoreService"),
    Program(PORTAL, "adapters.portal", told=frozenset({Says.SOCKET})),
)


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant: `client` may call `methods` of `provider` for `purposes`."""

    grant_id: str
    client: str
    provider: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...] = (BIRTHS,)
    calls_per_day: int = 0
    """Over the whole bus, by UTC days; 0: as many as wanted."""


def _of(service: str, *names: str) -> tuple[str, ...]:
    return tuple(f"/{service}/{name}" for name in names)


_WARDS: Final = _of("vn.administrative.v1.AdministrativeUnitService", "ResolveUnit")
_BIRTHS: Final = _of("vn.civilstatus.v1.CivilStatusService", "RegisterBirth", "GetBirthCertificate")
_NEWBORN: Final = _of("vn.population.v1.PopulationService", "GetPerson", "RegisterNewborn")
_KEEP: Final = _of("vn.store.v1.StoreService", "Put", "Get", "List")
_KEPT: Final = _of("vn.store.v1.StoreService", "Get")
_CARDS: Final = _of("vn.socialinsurance.v1.SocialInsuranceService", "IssueHealthCard", "ClaimMaternityAllowance")
_INSURED: Final = _of("vn.population.v1.PopulationService", "GetPerson")
_EMPLOYERS: Final = _of("vn.business.v1.BusinessService", "GetStatus")
_RESIDENCE: Final = _of("vn.land.v1.LandService", "ProveResidence")
_RESIDENCES_A_DAY: Final = 20_000
"""Several times the births of a day: for work, not for going through a register."""
_CONTRACTS: Final = _of("govbus.registry.v1.DirectoryService", "GetContract")

GRANTS: Final = (
    GrantRow("births-ministry", PORTAL, CIVIL_STATUS, _BIRTHS),
    GrantRow("births-hanoi", PORTAL, HANOI, _BIRTHS),
    GrantRow("wards-portal", PORTAL, UNITS, _WARDS),
    GrantRow("wards-ministry", CIVIL_STATUS, UNITS, _WARDS),
    GrantRow("wards-hanoi", HANOI, UNITS, _WARDS),
    GrantRow("newborn-ministry", CIVIL_STATUS, POPULATION, _NEWBORN),
    GrantRow("newborn-hanoi", HANOI, POPULATION, _NEWBORN),
    GrantRow("keep-ministry", CIVIL_STATUS, STORE, _KEEP),
    GrantRow("keep-hanoi", HANOI, STORE, _KEEP),
    GrantRow("kept-portal", PORTAL, STORE, _KEPT),
    GrantRow("insurance-portal", PORTAL, INSURANCE, _CARDS, (INSURED_BIRTHS,)),
    GrantRow("insured-insurance", INSURANCE, POPULATION, _INSURED, (INSURED_BIRTHS,)),
    GrantRow("employers-insurance", INSURANCE, BUSINESS, _EMPLOYERS, (INSURED_BIRTHS,)),
    GrantRow("residence-portal", PORTAL, LAND, _RESIDENCE, (RESIDENCE,), calls_per_day=_RESIDENCES_A_DAY),
    GrantRow("directory-portal", PORTAL, REGISTRY, _CONTRACTS, (DIRECTORY,)),
)
