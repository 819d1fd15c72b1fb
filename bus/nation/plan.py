"""The table of bus.nation.members as a plan for bus.nation.founding, contracts included."""

from vn.administrative.v1 import administrative_pb2
from vn.business.v1 import business_pb2
from vn.civilstatus.v1 import civilstatus_pb2
from vn.land.v1 import land_pb2
from vn.population.v1 import population_pb2
from vn.portal.v1 import portal_pb2
from vn.socialinsurance.v1 import socialinsurance_pb2
from vn.store.v1 import store_pb2

from bus.nation.founding import Plan
from bus.nation.members import GRANTS, MEMBERS, PROGRAMS

__all__ = ["plan"]

_CONTRACTS = (
    administrative_pb2,
    business_pb2,
    civilstatus_pb2,
    land_pb2,
    population_pb2,
    portal_pb2,
    socialinsurance_pb2,
    store_pb2,
)


def plan() -> Plan:
    """All of the nation."""
    offers = {one.path: one.service for one in PROGRAMS if one.service}
    systems = tuple(one.path for one in PROGRAMS)
    return Plan(MEMBERS, systems, (), offers, GRANTS, tuple(module.DESCRIPTOR for module in _CONTRACTS))
