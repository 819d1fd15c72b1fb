"""What the demonstration adds to the nation of `govbus up --nation`: a second broker, the tax office, which was granted
nothing, and a provider that cheats. Recorded by bus.nation.founding, as the nation itself is.
"""

from typing import Final

from bus.nation.founding import Plan
from bus.nation.members import PORTAL, GrantRow
from bus.nation.plan import plan
from bus.up import layout

__all__ = [
    "BROKER",
    "GRANT_NEWBORN",
    "GRANT_WARDS",
    "LIST_UNITS",
    "MIRROR",
    "OTHER_BROKER",
    "RESOLVE",
    "STRANGER",
    "TAX",
    "TRUST_DOMAIN",
    "UNIT_SERVICE",
    "additions",
]

TRUST_DOMAIN: Final = "bus.demo.example"

BROKER: Final = layout.BROKER
OTHER_BROKER: Final = "gov/ndc/broker-2"
TAX: Final = "gov/mof/tax"  # of a member in good standing, granted nothing
MIRROR: Final = "gov/moc/units-mirror"  # a registered provider that cheats
STRANGER: Final = "gov/moc/ghost"  # holds a certificate of the authority, stands in no policy

UNIT_SERVICE: Final = "vn.administrative.v1.AdministrativeUnitService"
RESOLVE: Final = f"/{UNIT_SERVICE}/ResolveUnit"
LIST_UNITS: Final = f"/{UNIT_SERVICE}/ListUnits"
GRANT_WARDS: Final = "wards-portal"
GRANT_NEWBORN: Final = "newborn-ministry"


def additions() -> Plan:
    """Beside the nation's plan, with the same contracts."""
    return Plan(
        members={"gov/moc": ("Bộ Xây dựng", "Ministry of Construction")},
        systems=(TAX, MIRROR),
        brokers=(OTHER_BROKER,),
        offers={MIRROR: UNIT_SERVICE},
        grants=(GrantRow("demo-portal-mirror", PORTAL, MIRROR, (RESOLVE,)),),
        contracts=plan().contracts,
    )
