"""The demonstration's nation: who there is, who may ask whom for which purpose, and nothing more than that."""

from typing import Final

from vn.administrative.v1 import administrative_pb2
from vn.civilstatus.v1 import civilstatus_pb2
from vn.population.v1 import population_pb2

from bus.edge.nation import GrantPlan, Nation, SubsystemPlan, contract_image

__all__ = [
    "BROKER",
    "CIVIL_STATUS",
    "GRANT_NEWBORN",
    "GRANT_WARDS",
    "LIST_UNITS",
    "MIRROR",
    "MODULES",
    "OTHER_BROKER",
    "POPULATION",
    "PORTAL",
    "PURPOSE",
    "RESOLVE",
    "STRANGER",
    "TAX",
    "UNITS",
    "nation",
]

TRUST_DOMAIN: Final = "bus.demo.example"
PURPOSE: Final = "civil.birth"

BROKER: Final = "gov/ndc/broker-1"
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


def nation() -> Nation:
    """The portal may register births and look up wards; civil status may ask what it needs for a birth."""
    people = "/vn.population.v1.PopulationService"
    births = "/vn.civilstatus.v1.CivilStatusService/*"
    newborn = (f"{people}/GetPerson", f"{people}/RegisterNewborn")
    purposes = (PURPOSE,)
    return Nation(
        trust_domain=TRUST_DOMAIN,
        brokers=(SubsystemPlan(BROKER), SubsystemPlan(OTHER_BROKER)),
        subsystems=(
            SubsystemPlan(PORTAL),
            SubsystemPlan(CIVIL_STATUS, serves=True),
            SubsystemPlan(POPULATION, serves=True),
            SubsystemPlan(UNITS, serves=True),
            SubsystemPlan(TAX),
            SubsystemPlan(MIRROR, serves=True),
        ),
        grants=(
            GrantPlan("grant-births", PORTAL, CIVIL_STATUS, (births,), purposes),
            GrantPlan(GRANT_WARDS, PORTAL, UNITS, (RESOLVE,), purposes),
            GrantPlan("grant-portal-mirror", PORTAL, MIRROR, (RESOLVE,), purposes),
            GrantPlan("grant-wards", CIVIL_STATUS, UNITS, (RESOLVE,), purposes),
            GrantPlan(GRANT_NEWBORN, CIVIL_STATUS, POPULATION, newborn, purposes),
        ),
        contracts=contract_image(module.DESCRIPTOR for module in (administrative_pb2, population_pb2, civilstatus_pb2)),
    )
