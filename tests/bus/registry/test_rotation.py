"""Another signing key: what becomes of the former ones, how often, and who may ask for it."""

from dataclasses import replace

import pytest

from bus.registry.contracts import contract_changes
from bus.registry.grants import RENEWAL_SERVICE, GrantMade
from bus.registry.keys import SigningKeyAdded, SigningKeyRetired, SigningKeyRevoked
from bus.registry.own_grants import RENEWAL_PURPOSE, enrolled, own_grants
from bus.registry.rotation import OVERLAP_MS, rotation_changes
from bus.registry.services import ServiceOffered
from bus.registry.subsystems import SubsystemAdded, SubsystemRevoked
from native.policy import build_tables
from tests.bus.registry.support import BROKER, CIVIL, DAY, HOUR, NOW, POPULATION, Log, key_id, nation, signing_key

WEEK = 7 * DAY
REGISTRY = "gov/ndc/registry"


def rotated(log: Log, subsystem: str, name: str, *, at_ms: int, end: int = 365 * DAY) -> SigningKeyAdded:
    """Record another key of the subsystem, starting 11 s after `at_ms`."""
    key = signing_key(subsystem, name, not_before=at_ms + 11_000, not_after=at_ms + end)
    log.record(*rotation_changes(log.state, key)[0], at_ms=at_ms)
    return key


def test_former_key_ends_an_hour_after_the_new_one_starts() -> None:
    log = Log(nation())
    key = rotated(log, CIVIL, "civil-2", at_ms=NOW + HOUR)
    assert log.state.keys[key_id("civil")].last_ms == key.not_before_ms + OVERLAP_MS
    assert log.state.keys[key_id("population")].last_ms == NOW + DAY, "nobody else's key ends"


def test_key_that_ends_sooner_anyway_is_left_alone() -> None:
    log = Log(nation())
    before = log.state.keys[key_id("civil")]
    changes, end = rotation_changes(
        log.state, signing_key(CIVIL, "late", not_before=NOW + DAY - 1, not_after=NOW + WEEK)
    )
    assert [type(one) for one in changes] == [SigningKeyAdded]
    assert end == before.last_ms


def test_brokers_former_key_outlives_the_gate_keys_that_it_certified() -> None:
    log = Log([*nation(), signing_key(BROKER, "broker", not_before=NOW, not_after=NOW + 365 * DAY)])
    key = rotated(log, BROKER, "broker-2", at_ms=NOW + HOUR)
    assert log.state.keys[key_id("broker")].last_ms == key.not_before_ms + 8 * DAY


@pytest.mark.parametrize(
    ("end", "rule"),
    [(NOW + DAY, "no-change"), (NOW + DAY + 1, "no-change"), (NOW, "validity"), (NOW - 1, "validity")],
)
def test_keys_life_is_made_shorter_only_and_not_in_the_past(end: int, rule: str) -> None:
    assert Log(nation()).refusal(SigningKeyRetired(key_id("civil"), end), at_ms=NOW + 1) == rule


def test_retirement_of_what_is_not_there_or_over_is_refused() -> None:
    log = Log(nation())
    assert log.refusal(SigningKeyRetired(bytes(32), NOW + HOUR)) == "unknown-key"
    log.record(SigningKeyRevoked(key_id("civil")))
    assert log.refusal(SigningKeyRetired(key_id("civil"), NOW + HOUR)) == "no-change"


def test_revoked_key_stays_revoked_when_another_one_comes() -> None:
    log = Log(nation())
    log.record(SigningKeyRevoked(key_id("civil")), at_ms=NOW + 5)
    rotated(log, CIVIL, "civil-2", at_ms=NOW + HOUR)
    assert log.state.keys[key_id("civil")].last_ms == NOW + 4


def registry_log() -> Log:
    """The nation, with somebody who offers RenewalService."""
    from govbus.registry.v1 import renewal_pb2

    from bus.edge.nation import contract_image

    log = Log([*nation(), SubsystemAdded(REGISTRY), signing_key(BROKER, "broker", not_before=NOW)])
    changes, _ = contract_changes(log.state, contract_image([renewal_pb2.DESCRIPTOR]))
    log.record(*changes, ServiceOffered(REGISTRY, RENEWAL_SERVICE))
    return log


def test_everybody_who_has_a_key_is_granted_its_own_things_once_brokers_too() -> None:
    log = registry_log()
    assert own_grants(Log(nation()).state, [CIVIL], NOW) == [], "nobody offers it"
    missing = own_grants(log.state, enrolled(log.state), NOW + 1)
    assert sorted(one.client for one in missing if isinstance(one, GrantMade)) == sorted([BROKER, CIVIL, POPULATION])
    log.record(*missing)
    assert own_grants(log.state, enrolled(log.state), NOW + 2) == []
    log.record(SubsystemRevoked(CIVIL), at_ms=NOW + 3)
    assert CIVIL not in enrolled(log.state)


def test_broker_is_granted_nothing_but_its_own_things() -> None:
    log = registry_log()
    (own,) = (one for one in own_grants(log.state, [BROKER], NOW) if isinstance(one, GrantMade))
    assert own.purposes == (RENEWAL_PURPOSE,)
    assert log.refusal(own) is None
    other = nation()[-1]
    assert isinstance(other, GrantMade)
    assert log.refusal(replace(other, grant_id="g", client=BROKER)) == "is-broker"
    assert log.refusal(replace(own, methods=(*own.methods, *other.methods))) == "is-broker"
    assert log.refusal(replace(own, provider=BROKER)) == "is-broker"


def test_policy_with_a_brokers_grant_compiles() -> None:
    from bus.registry.policy import policy_document

    log = registry_log()
    log.record(*own_grants(log.state, enrolled(log.state), NOW + 1))
    assert build_tables(policy_document(log.state, NOW + 2).tables)
