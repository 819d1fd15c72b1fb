"""Tables that follow the log say what a full compile says, whatever happens in whatever order; and whoever is not told
that its part changed has the part that it had. A difference would be a revoked key that a gate still takes."""

import random
from collections.abc import Callable

from bus.registry.change import Change
from bus.registry.fold import EMPTY, propose
from bus.registry.grants import GrantMade, GrantRevoked, Quota, QuotaSet
from bus.registry.keys import CertificateRevoked, SigningKeyRetired, SigningKeyRevoked
from bus.registry.members import MemberResumed, MemberSuspended
from bus.registry.policy import policy_document
from bus.registry.policy_live import LivePolicy
from bus.registry.refusal import Refusal
from bus.registry.services import ServiceOffered, ServiceRevised, ServiceWithdrawn
from bus.registry.state import RegistryState
from bus.registry.subsystems import (
    AgentAppointed,
    AgentDismissed,
    EndpointsSet,
    SubsystemAdded,
    SubsystemResumed,
    SubsystemRevoked,
    SubsystemSuspended,
)
from native.policy import Policy, PolicyTables, build_tables
from native.policy_types import Method
from tests.bus.registry.support import (
    ACT,
    BROKER,
    DAY,
    GET,
    HOUR,
    ISSUER,
    LIST,
    NOW,
    SERVICE,
    certificate,
    nation,
    service,
    signing_key,
)

MEMBERS = ("gov/mps", "gov/moj", "gov/ndc")
STEPS, RUNS = 120, 3


def test_tables_that_follow_say_what_a_full_compile_says() -> None:
    for seed in range(RUNS):
        follow_at_random(random.Random(seed))


def follow_at_random(source: random.Random) -> None:
    now = NOW
    state = propose(EMPTY, nation(), ACT, now).after
    live, seed, parts = LivePolicy(), bytes(16), dict[str, object]()
    for step in range(STEPS):
        answer = live.follow(state, now)
        tables = policy_document(state, now).tables
        assert said(answer.whole.tables, tables) == said(build_tables(tables), tables), step
        for reader in (one.id for one in tables.subsystems if not one.is_broker):
            part, wanted = answer.whole.cut(reader, seed), part_of(tables, reader)
            assert said(part, tables) == said(build_tables(wanted), tables), (step, reader)
            if answer.changed is not None and reader not in answer.changed:
                assert parts[reader] == entries(wanted), (step, reader)
            parts[reader] = entries(wanted)
        now += source.choice((1, 1000, 30_000, HOUR, 7 * HOUR, DAY + HOUR))
        for _ in range(source.randint(0, 4)):
            try:
                state = propose(state, [source.choice(CHANGES)(source, state, now)], ACT, now).after
            except (Refusal, IndexError):
                continue


def said(encoded: bytes, everything: PolicyTables) -> list[object]:
    """All that the tables answer about every name that there is."""
    policy = Policy(encoded)
    found: list[object] = [policy.counts()]
    for one in everything.certificates:
        live = policy.certificate(one.digest)
        found.append(None if live is None else (policy.subsystem(live[0]).id, live[1]))
    for subsystem in everything.subsystems:
        number = policy.find_subsystem(subsystem.id)
        found.append(None if number is None else policy.subsystem(number))
    found += [policy.key(one.key_id) for one in everything.keys]
    for method in everything.methods:
        number = policy.find_method(method.path)
        found.append(None if number is None else policy.method(number))
    for grant in everything.grants:
        number = policy.find_grant(grant.grant_id)
        found.append(None if number is None else policy.grant(number))
    return found


def part_of(tables: PolicyTables, reader: str) -> PolicyTables:
    """What a reader needs, slowly: itself, brokers, its grants and who is at their other end, its agents."""
    grants = tuple(one for one in tables.grants if reader in (one.client, one.provider))
    agents = tuple(one for one in tables.agents if reader in (one.agent, one.client))
    brokers = {one.id for one in tables.subsystems if one.is_broker}
    connecting = {reader, *brokers, *(one.agent for one in agents)}
    ends = {end for one in grants for end in (one.client, one.provider)}
    known = connecting | ends | {one.client for one in agents}
    called = {path for one in grants for path in one.methods}
    return PolicyTables(
        tuple(one for one in tables.subsystems if one.id in known),
        tuple(one for one in tables.certificates if one.subsystem in connecting),
        tuple(one for one in tables.keys if one.subsystem in known),
        tuple(one for one in tables.methods if one.path in called),
        grants,
        agents,
    )


def entries(part: PolicyTables) -> object:
    """What stands in a part, in no order."""
    several = (part.subsystems, part.certificates, part.keys, part.methods, part.grants, part.agents)
    return [set(each) for each in several]


def some(source: random.Random, names: object) -> str:
    return source.choice(sorted(names))  # type: ignore[call-overload, no-any-return]


def numbered(source: random.Random) -> str:
    return f"n{source.randrange(10**9)}"


def added(source: random.Random, state: RegistryState, now: int) -> Change:
    return SubsystemAdded(f"{source.choice(MEMBERS)}/{numbered(source)}", source.random() < 0.1)


def granted(source: random.Random, state: RegistryState, now: int) -> Change:
    methods = tuple(source.sample([GET, LIST], source.randint(1, 2)))
    purposes = tuple(source.sample(["civil.birth", "civil.death", "health"], source.randint(1, 3)))
    provider = source.choice([path for path, one in sorted(state.subsystems.items()) if one.services])
    end = now + source.choice((1, HOUR, DAY, 9 * DAY))
    quota = Quota(source.choice((0, 5)), 0, source.choice((0, 1000)), 0)
    return GrantMade(numbered(source), some(source, state.subsystems), provider, methods, purposes, now, end, quota)


def keyed(source: random.Random, state: RegistryState, now: int) -> Change:
    start = now + source.choice((11_000, HOUR))
    return signing_key(
        some(source, state.subsystems), numbered(source), not_before=start, not_after=start + source.choice((1, DAY))
    )


def certified(source: random.Random, state: RegistryState, now: int) -> Change:
    hours = source.choice((1, 24))
    return certificate(some(source, state.subsystems), numbered(source), not_before=now, hours=hours)


def revised(source: random.Random, state: RegistryState, now: int) -> Change:
    methods = (*service().methods[:1], Method(LIST, service().methods[1].kind, source.choice((1_000, 2_000))))
    return ServiceRevised(SERVICE, ISSUER, methods)


def agent(source: random.Random, state: RegistryState, now: int) -> tuple[str, str]:
    return some(source, state.subsystems), some(source, state.subsystems)


CHANGES: list[Callable[[random.Random, RegistryState, int], Change]] = [
    added,
    added,
    granted,
    granted,
    granted,
    keyed,
    keyed,
    certified,
    certified,
    revised,
    lambda r, s, n: GrantRevoked(some(r, s.grants)),
    lambda r, s, n: QuotaSet(some(r, s.grants), Quota(r.choice((0, 7)))),
    lambda r, s, n: SigningKeyRevoked(r.choice(sorted(s.keys))),
    lambda r, s, n: SigningKeyRetired(r.choice(sorted(s.keys)), n + r.choice((1, HOUR))),
    lambda r, s, n: CertificateRevoked(r.choice(sorted(s.certificates))),
    lambda r, s, n: CertificateRevoked(r.choice(sorted(s.certificates))),
    lambda r, s, n: AgentAppointed(*agent(r, s, n)),
    lambda r, s, n: AgentAppointed(*agent(r, s, n)),
    lambda r, s, n: AgentDismissed(*r.choice(sorted(s.agents))),
    lambda r, s, n: SubsystemSuspended(some(r, s.subsystems)),
    lambda r, s, n: SubsystemResumed(some(r, s.subsystems)),
    lambda r, s, n: SubsystemRevoked(some(r, set(s.subsystems) - {BROKER})),
    lambda r, s, n: MemberSuspended(some(r, s.members)),
    lambda r, s, n: MemberResumed(some(r, s.members)),
    lambda r, s, n: EndpointsSet(some(r, s.subsystems), r.choice(((), ("127.0.0.1:1",)))),
    lambda r, s, n: ServiceOffered(some(r, s.subsystems), SERVICE),
    lambda r, s, n: ServiceWithdrawn(some(r, s.subsystems), SERVICE),
]
