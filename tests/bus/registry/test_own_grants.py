"""What everybody may ask of the instance's own services: enough for an honest home, not enough to drown them."""

from govbus.ledger.v1 import ledger_pb2
from govbus.registry.v1 import renewal_pb2

from bus.edge.nation import contract_image
from bus.registry.contracts import contract_changes
from bus.registry.grants import RENEWAL_SERVICE, GrantMade, QuotaSet
from bus.registry.own_grants import LEDGER_SERVICE, enrolled, own_grants
from bus.registry.services import ServiceOffered
from bus.registry.subsystems import SubsystemAdded
from tests.bus.registry.support import BROKER, NOW, Log, nation, signing_key

REGISTRY = "gov/ndc/registry"


def offering() -> Log:
    """The nation, with somebody who offers renewal and the ledger's proofs."""
    log = Log([*nation(), SubsystemAdded(REGISTRY), signing_key(BROKER, "broker", not_before=NOW)])
    changes, _ = contract_changes(log.state, contract_image([renewal_pb2.DESCRIPTOR, ledger_pb2.DESCRIPTOR]))
    log.record(*changes, *(ServiceOffered(REGISTRY, one) for one in (RENEWAL_SERVICE, LEDGER_SERVICE)))
    return log


def test_nobody_has_an_unlimited_grant_of_the_instances_own_services() -> None:
    log = offering()
    made = [one for one in own_grants(log.state, enrolled(log.state), NOW + 1) if isinstance(one, GrantMade)]
    assert {method.split("/")[1] for one in made for method in one.methods} == {RENEWAL_SERVICE, LEDGER_SERVICE}
    for one in made:
        assert one.quota.calls_per_second, one
        assert one.quota.burst >= one.quota.calls_per_second
        # Ten brokers divide it, and a home that asks for policy every second renews its certificate all the same.
        assert one.quota.calls_per_second / 10 > 1


def test_no_day_is_used_up_before_a_certificate_is_renewed() -> None:
    log = offering()
    for one in own_grants(log.state, enrolled(log.state), NOW + 1):
        assert isinstance(one, GrantMade)
        assert (one.quota.calls_per_day, one.quota.bytes_per_day) == (0, 0)


def test_operators_other_limits_stay() -> None:
    log = offering()
    made = [one for one in own_grants(log.state, enrolled(log.state), NOW + 1) if isinstance(one, GrantMade)]
    log.record(*made)
    quota = made[0].quota
    log.record(QuotaSet(made[0].grant_id, type(quota)(calls_per_second=1)))
    assert own_grants(log.state, enrolled(log.state), NOW + 2) == []
    assert log.state.grants[made[0].grant_id].grant.calls_per_second == 1
