"""What `govbus explain` says of a refusal: by the state of the log that judged, whatever was changed around it."""

from dataclasses import replace

from bus.cli.explain_advice import advice_at
from bus.cli.explain_registry import known_at
from bus.evidence.explain import Judged
from bus.registry.grants import Quota, QuotaSet
from bus.registry.members import MemberResumed, MemberSuspended
from bus.registry.registry import Registry
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from native.headers import RequestHeader
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, BROKER, CIVIL, GET, NOW, POPULATION


def refused(reason: str, time_ms: int, position: int | None) -> Judged:
    client, provider, broker = (f"spiffe://bus.gov.example/{path}" for path in (CIVIL, POPULATION, BROKER))
    request = RequestHeader(
        request_id=bytes(16),
        client=client,
        provider=provider,
        broker=broker,
        method=GET,
        body_commitment=bytes(32),
        issued_at_ms=time_ms,
        not_after_ms=time_ms + 10_000,
        purpose="civil.birth",
        case_id="HS-1",
        grant_id="grant-1",
    )
    return Judged(request, reason, time_ms, 7, position)


def suspended_and_resumed(registry: Registry, clock: Clock) -> tuple[int, int]:
    """The positions of both, a second apart."""
    clock.now = NOW + 1000
    (first,) = registry.record([SubsystemSuspended(POPULATION)], ACT)
    clock.now = NOW + 2000
    (second,) = registry.record([SubsystemResumed(POPULATION)], ACT)
    return first.position, second.position


def test_policy_that_judged_counts_and_not_the_moment(registry: Registry, clock: Clock) -> None:
    suspended, resumed = suspended_and_resumed(registry, clock)
    judged = refused("NO_GRANT", NOW + 2020, suspended)  # the broker had the newer policy a moment later
    against, changed = known_at(registry, judged)
    assert against.startswith(f"the provider {POPULATION} was suspended since ")
    assert changed.startswith("that was changed by 20")
    assert "which policy version 7 does not know" in changed
    (alone,) = known_at(registry, replace(judged, time_ms=NOW + 1500))
    assert alone == against
    (nothing,) = known_at(registry, replace(judged, position=resumed))
    assert nothing.startswith("nothing spoke against it")


def test_suspension_is_for_the_operator_to_end_and_no_grant_is_advised(registry: Registry, clock: Clock) -> None:
    clock.now = NOW + 1000
    (one,) = registry.record([SubsystemSuspended(POPULATION)], ACT)
    member = POPULATION.rpartition("/")[0]
    (two,) = registry.record([MemberSuspended(member)], ACT)
    usual, judged = ("Ask the provider for a grant",), refused("NO_GRANT", NOW + 1500, one.position)
    client, operator = advice_at(registry, judged, usual, " --state s")
    assert client == f"{CIVIL}: ask the operator; while it is suspended, no grant helps"
    assert operator.endswith(f": govbus subsystem resume {POPULATION} --reason WHY --state s")
    _, of_member, of_it = advice_at(registry, replace(judged, position=two.position), usual, "")
    assert f"govbus member resume {member} " in of_member
    assert f"govbus subsystem resume {POPULATION} " in of_it
    strange = replace(judged, request=replace(judged.request, purpose="tax.audit"))
    assert advice_at(registry, strange, usual, "")[0] == usual[0]  # that would have been refused anyway
    registry.record([SubsystemResumed(POPULATION), MemberResumed(member)], ACT)
    again, operator = advice_at(registry, judged, usual, "")
    assert (again, operator) == (
        f"{CIVIL}: call again: it is suspended no more",
        f"operator: {POPULATION} is suspended no more",
    )
    assert advice_at(registry, replace(judged, position=two.position + 2), usual, "") == usual
    assert advice_at(registry, replace(judged, reason="RATE_LIMITED"), usual, "") == usual


def test_without_a_position_the_moment_counts(registry: Registry, clock: Clock) -> None:
    suspended_and_resumed(registry, clock)
    (against,) = known_at(registry, refused("NO_GRANT", NOW + 1500, None))
    assert "was suspended since" in against


def test_limits_are_told_where_they_were_used_up_and_nothing_of_a_replay(registry: Registry, clock: Clock) -> None:
    clock.now = NOW + 1000
    (event,) = registry.record([QuotaSet("grant-1", Quota(calls_per_day=20_000))], ACT)
    (said,) = known_at(registry, refused("QUOTA_EXCEEDED", NOW + 1500, event.position))
    assert said == "grant grant-1 allows 20,000 calls a day, shared among the brokers"
    assert known_at(registry, refused("REPLAYED", NOW + 1500, event.position)) == ()
