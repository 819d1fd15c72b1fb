"""How much a subsystem may call: an event like any other, and each broker's share of it in the gate's tables."""

from bus.registry.codec import decode_change, encode_change
from bus.registry.fold import fold
from bus.registry.grants import Quota, QuotaSet
from bus.registry.keys import CertificateRevoked
from bus.registry.members import MemberResumed, MemberSuspended
from bus.registry.policy import brokers_of, policy_document
from bus.registry.policy_live import LivePolicy
from bus.registry.subsystems import RateSet, SubsystemAdded, SubsystemResumed, SubsystemRevoked, SubsystemSuspended
from native.policy import Policy, build_tables
from tests.bus.registry.support import BROKER, CIVIL, DAY, HOUR, NOW, Log, certificate, nation

SECOND = "gov/ndc/broker-2"
ID = "spiffe://bus.gov.example/"


def limits(policy: Policy) -> tuple[int, ...]:
    """(rate and burst of CIVIL, then of its grant, then the grant's calls and bytes a day)."""
    peer = policy.subsystem(policy.find_subsystem(f"{ID}{CIVIL}") or 0)
    grant = policy.grant(policy.find_grant("grant-1") or 0)
    daily = grant.calls_per_day, grant.bytes_per_day
    return peer.calls_per_second, peer.burst, grant.calls_per_second, grant.burst, *daily


def in_full(log: Log, now: int) -> tuple[int, ...]:
    return limits(Policy(build_tables(policy_document(log.state, now).tables)))


def limited() -> Log:
    return Log([*nation(), certificate(BROKER, "broker-1")])


def test_rate_is_recorded_and_reaches_the_gate() -> None:
    log = limited()
    log.record(RateSet(CIVIL, 50, 80))
    assert in_full(log, NOW + 2)[:2] == (50, 80)
    entry = log.state.subsystems[CIVIL]
    assert (entry.calls_per_second, entry.burst) == (50, 80)
    log.record(RateSet(CIVIL))
    assert in_full(log, NOW + 2)[:2] == (0, 0)


def test_rate_is_read_back_as_it_was_at_any_position() -> None:
    log = limited()
    before = log.state.position
    log.record(RateSet(CIVIL, 50))
    log.record(RateSet(CIVIL, 5, 6))
    then = [fold(log.events[: before + more]).subsystems[CIVIL].calls_per_second for more in range(3)]
    assert then == [0, 50, 5]
    for event in log.events[-2:]:
        assert decode_change(event.change.kind, encode_change(event.change)) == event.change
    assert encode_change(RateSet(CIVIL, 5)) == f'{{"calls_per_second":5,"subsystem":"{CIVIL}"}}'
    assert (log.events[-1].operator, log.events[-1].reason) == ("ops:alice", "set up for a test")


def test_rate_that_says_nothing_or_too_much_is_refused() -> None:
    log = limited()
    assert log.refusal(RateSet(CIVIL)) == "no-change"
    assert log.refusal(RateSet(CIVIL, -1)) == "malformed"
    assert log.refusal(RateSet(CIVIL, 2**32)) == "malformed"
    assert log.refusal(RateSet(CIVIL, 1, 2**32)) == "malformed"
    assert log.refusal(RateSet(CIVIL, 0, 5)) == "malformed"
    assert log.refusal(RateSet(BROKER, 5)) == "is-broker"
    assert log.refusal(RateSet("gov/no/body", 5)) == "unknown-subsystem"
    log.record(SubsystemRevoked(CIVIL))
    assert log.refusal(RateSet(CIVIL, 5)) == "ended"


def test_every_change_of_brokers_divides_anew_in_full_and_in_what_is_kept() -> None:
    log, live = limited(), LivePolicy()
    log.record(RateSet(CIVIL, 50, 81), QuotaSet("grant-1", Quota(10, 0, 1001, 1)))
    whole, half = (50, 81, 10, 0, 1001, 1), (25, 41, 5, 0, 501, 1)

    def follow(now: int, brokers: int | None = None) -> tuple[int, ...]:
        found = limits(Policy(live.follow(log.state, now).whole.tables))
        assert found == in_full(log, now)
        assert brokers_of(log.state, now) == (brokers or (2 if found == half else 1))
        return found

    assert follow(NOW + 2) == whole
    log.record(SubsystemAdded(SECOND, is_broker=True))
    assert follow(NOW + 3) == whole  # it has no certificate yet
    second = certificate(SECOND, "broker-2", hours=2)
    log.record(second)
    assert follow(NOW + 4) == half
    log.record(RateSet(CIVIL, 20, 81), QuotaSet("grant-1", Quota(10, 3, 1001, 1)))
    assert follow(NOW + 5, brokers=2) == (10, 41, 5, 2, 501, 1)
    log.record(RateSet(CIVIL, 50, 81), QuotaSet("grant-1", Quota(10, 0, 1001, 1)))
    log.record(SubsystemSuspended(SECOND))
    assert follow(NOW + 6) == whole
    log.record(SubsystemResumed(SECOND))
    assert follow(NOW + 7) == half
    log.record(MemberSuspended("gov/ndc"))
    assert follow(NOW + 8) == whole
    log.record(MemberResumed("gov/ndc"))
    assert follow(NOW + 9) == half
    assert follow(NOW + 3 * HOUR) == whole  # its certificate has ended
    log.record(certificate(SECOND, "broker-2 again", not_before=NOW + 3 * HOUR), at_ms=NOW + 3 * HOUR)
    assert follow(NOW + 3 * HOUR + 1) == half
    log.record(SubsystemRevoked(SECOND), at_ms=NOW + 4 * HOUR)
    assert follow(NOW + 4 * HOUR) == whole
    log.record(CertificateRevoked(certificate(BROKER, "broker-1").digest), at_ms=NOW + 5 * HOUR)
    assert follow(NOW + DAY // 2) == whole  # nobody is left; what is not passed on needs no share
