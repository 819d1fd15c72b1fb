"""Tables that follow the log say what a full compile says, whatever was recorded and whenever something ended."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from bus.registry.change import Change
from bus.registry.draft import Written
from bus.registry.fold import fold_noting
from bus.registry.grants import GrantMade, GrantRevoked, Quota, QuotaSet
from bus.registry.keys import CertificateRevoked, IssuerRevoked, SigningKeyRevoked
from bus.registry.members import MemberAdded, MemberResumed, MemberSuspended
from bus.registry.policy import policy_document
from bus.registry.policy_live import LivePolicy
from bus.registry.services import ServiceOffered, ServiceRevised
from bus.registry.subsystems import (
    AgentAppointed,
    AgentDismissed,
    EndpointsSet,
    SubsystemAdded,
    SubsystemResumed,
    SubsystemRevoked,
    SubsystemSuspended,
)
from native._policy_cut_py import cut, read_tables
from native.policy_types import Method, PolicyTables
from tests.bus.registry.support import (
    BROKER,
    DAY,
    GET,
    HOUR,
    ISSUER,
    LIST,
    NOW,
    SERVICE,
    Log,
    certificate,
    grant,
    nation,
    service,
    signing_key,
)

MEMBERS = ("gov/mps", "gov/moj", "gov/ndc", "gov/mof")
SEED = bytes(range(16))


def unordered(tables: PolicyTables) -> list[set[Any]]:
    return [set(several) for several in (getattr(tables, name) for name in PolicyTables.__slots__)]


class Country:
    """A log that somebody changes at random, at a clock that runs."""

    def __init__(self, seed: int) -> None:
        self.random, self.now, self.made = random.Random(seed), NOW, 0
        self.log = Log([*nation(), MemberAdded("gov", "mof", "Bộ Tài chính", "Ministry of Finance")])
        self.live, self.seen = LivePolicy(), self.log.state

    def written(self) -> Written:
        """What the log wrote since this was asked last, read from its events."""
        state, written = fold_noting(self.log.events[self.seen.position :], self.seen)
        assert state == self.log.state
        self.seen = self.log.state
        return written

    def step(self) -> None:
        """One transaction of one to three changes that the rules allow."""
        self.now += self.random.choice((1, 1_000, HOUR // 2, 3 * HOUR))
        self.made += 1
        for _ in range(50):
            changes = [self.change() for _ in range(self.random.randint(1, 3))]
            if self.log.refusal(*changes, at_ms=self.now) is None:
                self.log.record(*changes, at_ms=self.now)
                return
        raise AssertionError("nothing that may be recorded was found")

    def change(self) -> Change:
        state, pick = self.log.state, self.random.choice
        self.made += 1
        name, paths = f"new-{self.made}", list(state.subsystems)
        one, other = self.random.sample(paths, 2)
        makers: list[Callable[[], Change]] = [
            lambda: GrantMade(
                name, one, other, (pick((GET, LIST)),), (pick(("civil.birth", name)),), self.now, self.soon()
            ),
            lambda: GrantMade(name, one, other, (GET, LIST), ("civil.birth",), self.now, self.soon()),
            lambda: GrantRevoked(pick(list(state.grants))),
            lambda: QuotaSet(pick(list(state.grants)), Quota(self.made, 2, 3, 4)),
            lambda: SubsystemAdded(f"{pick(MEMBERS)}/s{self.made}", self.random.random() < 0.1),
            lambda: pick((SubsystemSuspended, SubsystemResumed, SubsystemRevoked))(one),
            lambda: pick((MemberSuspended, MemberResumed))(pick(MEMBERS)),
            lambda: EndpointsSet(one, pick(((), (f"127.0.0.1:{1024 + self.made}",)))),
            lambda: ServiceOffered(one, SERVICE),
            lambda: ServiceOffered(other, SERVICE),
            lambda: certificate(one, name, not_before=self.now, hours=self.random.randint(1, 24)),
            lambda: certificate(pick((BROKER, one)), name, not_before=self.now),
            lambda: CertificateRevoked(pick(list(state.certificates))),
            lambda: signing_key(one, name, not_before=self.now + HOUR, not_after=self.soon() + HOUR),
            lambda: SigningKeyRevoked(pick(list(state.keys))),
            lambda: AgentAppointed(*self.neighbours(paths)),
            lambda: AgentDismissed(*pick(list(state.agents))),
            lambda: ServiceRevised(SERVICE, service().image, (*service().methods, Method(f"/{SERVICE}/M{self.made}"))),
            lambda: IssuerRevoked(ISSUER if self.random.random() < 0.1 else self.random.randbytes(32)),
        ]
        try:
            return self.random.choice(makers)()
        except IndexError:  # nothing there to choose from
            return grant(name)

    def soon(self) -> int:
        return self.now + self.random.choice((HOUR, DAY, 30 * DAY))

    def neighbours(self, paths: list[str]) -> list[str]:
        member = self.random.choice(paths).rpartition("/")[0]
        several = [path for path in paths if path.startswith(f"{member}/")]
        return self.random.sample(several, 2) if len(several) > 1 else self.random.sample(paths, 2)


@pytest.mark.parametrize("seed", range(6))
def test_tables_that_follow_the_log_are_those_compiled_in_full(seed: int) -> None:
    country = Country(seed)
    parts: dict[str, list[set[Any]]] = {}
    for _ in range(60):
        country.step()
        known = country.written()
        written = known if country.random.random() < 0.7 else None
        live = country.live.follow(country.log.state, country.now, written)
        full = policy_document(country.log.state, country.now).tables
        assert unordered(read_tables(live.whole.tables)) == unordered(full)
        for one in (one for one in full.subsystems if not one.is_broker):
            part = unordered(cut(full, one.id))
            if parts.get(one.id) != part:
                assert live.changed is None or one.id in live.changed, one.id
                assert unordered(read_tables(live.whole.cut(one.id, SEED))) == part
            parts[one.id] = part
    assert len({event.change.kind for event in country.log.events}) > 15


def test_reader_whom_a_change_does_not_concern_is_left_alone() -> None:
    log, live = Log([*nation(), SubsystemAdded("gov/ndc/other")]), LivePolicy()
    assert live.follow(log.state, NOW).changed is None
    log.record(GrantMade("grant-9", "gov/moj/civil-status", "gov/mps/population", (GET,), ("p",), NOW, NOW + DAY))
    changed = live.follow(log.state, NOW + 1).changed
    assert set(changed or ()) == {
        f"spiffe://bus.gov.example/gov/{one}" for one in ("moj/civil-status", "mps/population")
    }
    assert live.follow(log.state, NOW + 2).changed == frozenset()


def test_what_ends_by_the_clock_leaves_though_nothing_was_recorded() -> None:
    log, live = Log(nation()), LivePolicy()
    assert len(read_tables(live.follow(log.state, NOW).whole.tables).certificates) == 2
    for now in (NOW + 24 * HOUR, NOW + 24 * HOUR + 1, NOW + 2 * DAY + 1, NOW + 365 * DAY + 1):
        tables = read_tables(live.follow(log.state, now).whole.tables)
        assert unordered(tables) == unordered(policy_document(log.state, now).tables)
    assert unordered(tables)[1:3] == [set(), set()]
    assert not tables.grants
