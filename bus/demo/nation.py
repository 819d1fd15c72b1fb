"""The demonstration's nation: who there is, who may ask whom for which purpose, and nothing more than that.

What of it the registry does not know yet is recorded by `founding`, as an operator would with `govbus member`,
`subsystem`, `service` and `grant`.
"""

from collections.abc import Mapping
from typing import Final

from vn.administrative.v1 import administrative_pb2
from vn.civilstatus.v1 import civilstatus_pb2
from vn.population.v1 import population_pb2

from bus.edge.nation import contract_image
from bus.registry.change import Change
from bus.registry.contracts import contract_changes
from bus.registry.grants import GrantMade
from bus.registry.members import MemberAdded
from bus.registry.services import ServiceOffered
from bus.registry.state import RegistryState
from bus.registry.subsystems import EndpointsSet, SubsystemAdded
from bus.up import layout

__all__ = [
    "BROKER",
    "CIVIL_STATUS",
    "GRANT_NEWBORN",
    "GRANT_WARDS",
    "LISTENING",
    "LIST_UNITS",
    "MIRROR",
    "MODULES",
    "OTHER_BROKER",
    "POPULATION",
    "PORTAL",
    "PURPOSE",
    "RESOLVE",
    "STRANGER",
    "SUBSYSTEMS",
    "TAX",
    "TRUST_DOMAIN",
    "UNITS",
    "founding",
    "grant",
]

TRUST_DOMAIN: Final = "bus.demo.example"
PURPOSE: Final = "civil.birth"

BROKER: Final = layout.BROKER
OTHER_BROKER: Final = "gov/ndc/broker-2"
PORTAL: Final = "gov/moj/portal"
CIVIL_STATUS: Final = "gov/moj/civil-status"
POPULATION: Final = "gov/mps/population"
UNITS: Final = "gov/moha/units"
TAX: Final = "gov/mof/tax"  # a member in good standing that was granted nothing
MIRROR: Final = "gov/moc/units-mirror"  # a registered provider that cheats
STRANGER: Final = "gov/moc/ghost"  # holds a certificate of the authority, stands in no policy

MODULES: Final = {
    UNITS: "adapters.administrative",
    POPULATION: "adapters.population",
    CIVIL_STATUS: "adapters.civilstatus",
}

RESOLVE: Final = "/vn.administrative.v1.AdministrativeUnitService/ResolveUnit"
LIST_UNITS: Final = "/vn.administrative.v1.AdministrativeUnitService/ListUnits"
GRANT_WARDS: Final = "grant-portal-wards"
GRANT_NEWBORN: Final = "grant-newborn"

_MEMBERS: Final = {
    "moj": ("Bộ Tư pháp", "Ministry of Justice"),
    "mps": ("Bộ Công an", "Ministry of Public Security"),
    "moha": ("Bộ Nội vụ", "Ministry of Home Affairs"),
    "mof": ("Bộ Tài chính", "Ministry of Finance"),
    "moc": ("Bộ Xây dựng", "Ministry of Construction"),
}
_OFFERS: Final = {
    UNITS: "vn.administrative.v1.AdministrativeUnitService",
    MIRROR: "vn.administrative.v1.AdministrativeUnitService",
    POPULATION: "vn.population.v1.PopulationService",
    CIVIL_STATUS: "vn.civilstatus.v1.CivilStatusService",
}
_NEWBORN: Final = tuple(f"/vn.population.v1.PopulationService/{name}" for name in ("GetPerson", "RegisterNewborn"))
_BIRTHS: Final = tuple(
    f"/vn.civilstatus.v1.CivilStatusService/{name}" for name in ("RegisterBirth", "GetBirthCertificate")
)
_GRANTS: Final = (
    ("grant-births", PORTAL, CIVIL_STATUS, _BIRTHS),
    (GRANT_WARDS, PORTAL, UNITS, (RESOLVE,)),
    ("grant-portal-mirror", PORTAL, MIRROR, (RESOLVE,)),
    ("grant-wards", CIVIL_STATUS, UNITS, (RESOLVE,)),
    (GRANT_NEWBORN, CIVIL_STATUS, POPULATION, _NEWBORN),
)
SUBSYSTEMS: Final = (PORTAL, CIVIL_STATUS, POPULATION, UNITS, TAX, MIRROR)
LISTENING: Final = (*_OFFERS, OTHER_BROKER)
_YEAR_MS: Final = 365 * 86_400_000


def founding(state: RegistryState, ports: Mapping[str, int], now_ms: int) -> tuple[list[Change], dict[bytes, bytes]]:
    """What Registry.record takes so that the nation is there: five members, their systems, contracts and grants."""
    changes: list[Change] = [
        MemberAdded("gov", code, *names) for code, names in _MEMBERS.items() if f"gov/{code}" not in state.members
    ]
    changes += [
        SubsystemAdded(path, is_broker=path == OTHER_BROKER)
        for path in (*SUBSYSTEMS, OTHER_BROKER)
        if path not in state.subsystems
    ]
    changes += [
        EndpointsSet(path, (f"127.0.0.1:{ports[path]}",))
        for path in LISTENING
        if path not in state.subsystems or not state.subsystems[path].endpoints
    ]
    image = contract_image(module.DESCRIPTOR for module in (administrative_pb2, population_pb2, civilstatus_pb2))
    contracts, files = contract_changes(state, image)
    changes += contracts
    changes += [
        ServiceOffered(path, service)
        for path, service in _OFFERS.items()
        if path not in state.subsystems or service not in state.subsystems[path].services
    ]
    changes += [grant(*one, now_ms) for one in _GRANTS if one[0] not in state.grants]
    return changes, files


def grant(grant_id: str, client: str, provider: str, methods: tuple[str, ...], now_ms: int) -> GrantMade:
    """For a year, for births."""
    return GrantMade(grant_id, client, provider, methods, (PURPOSE,), now_ms, now_ms + _YEAR_MS)
