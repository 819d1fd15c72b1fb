"""The state is a function of the log: the same log gives the same state, whole or in parts, now or later."""

import random
from collections.abc import Iterator
from dataclasses import fields, replace

import pytest

from bus.registry.change import Change
from bus.registry.codec import PayloadError, decode_change, encode_change
from bus.registry.event import LogBroken, parse_events, store_event
from bus.registry.fold import EMPTY, fold
from bus.registry.grants import GrantMade, GrantRevoked, Quota, QuotaSet
from bus.registry.keys import CertificateRevoked, IssuerRevoked, SigningKeyRevoked
from bus.registry.kinds import KINDS
from bus.registry.members import AgesSet, MemberAdded, MemberRenamed, MemberResumed, MemberSuspended
from bus.registry.services import ServiceOffered, ServiceRevised, ServiceWithdrawn
from bus.registry.state import EMPTY_HASH
from bus.registry.subsystems import (
    AgentAppointed,
    AgentDismissed,
    EndpointsSet,
    SubsystemAdded,
    SubsystemResumed,
    SubsystemRevoked,
    SubsystemSuspended,
)
from native.policy_types import Method
from tests.bus.registry.support import (
    DAY,
    GET,
    HOUR,
    ISSUER,
    LIST,
    NOW,
    SERVICE,
    Log,
    certificate,
    nation,
    service,
    signing_key,
)


def any_change(chance: random.Random, number: int, now: int) -> Change:
    """A change that may or may not be allowed, about few enough names that they meet."""
    member = f"gov/{chance.choice(['ndc', 'mps', 'moj', 'new-1'])}"
    subsystem = f"{member}/{chance.choice(['population', 'civil-status', 'a', 'b'])}"
    other = f"{member}/{chance.choice(['population', 'civil-status', 'a', 'b'])}"
    grant_id = f"g{chance.randrange(8)}"
    name = f"key-{chance.randrange(12)}"
    hours = chance.randint(1, 24)
    return chance.choice(
        [
            AgesSet(chance.randint(1, 9) * HOUR, 24 * HOUR),
            MemberAdded("gov", f"new-{chance.randrange(3)}", "Cơ quan mới", "New agency"),
            MemberRenamed(member, f"Tên {number}", f"Name {number}"),
            MemberSuspended(member),
            MemberResumed(member),
            SubsystemAdded(subsystem, chance.random() < 0.1),
            SubsystemSuspended(subsystem),
            SubsystemResumed(subsystem),
            *([SubsystemRevoked(subsystem)] if chance.random() < 0.2 else []),
            EndpointsSet(subsystem, tuple(f"127.0.0.1:{7000 + one}" for one in range(chance.randrange(3)))),
            AgentAppointed(subsystem, other),
            AgentDismissed(subsystem, other),
            certificate(subsystem, f"{number}", not_before=now, hours=hours),
            certificate(subsystem, name, not_before=now, hours=hours),
            CertificateRevoked(certificate(subsystem, name).digest),
            *([IssuerRevoked(ISSUER)] if chance.random() < 0.02 else []),
            signing_key(subsystem, name, not_before=now + 10_000, not_after=now + DAY),
            SigningKeyRevoked(signing_key(subsystem, name).key_id),
            ServiceOffered(subsystem, SERVICE),
            ServiceWithdrawn(subsystem, SERVICE),
            ServiceRevised(SERVICE, service().image, (*service().methods, Method(f"/{SERVICE}/More{number}"))),
            GrantMade(grant_id, subsystem, other, (GET, LIST), ("civil.birth",), now, now + DAY, Quota(burst=number)),
            GrantMade(grant_id, "gov/moj/civil-status", "gov/mps/population", (GET,), ("a",), now, now + DAY),
            GrantRevoked(grant_id),
            QuotaSet(grant_id, Quota(calls_per_day=number)),
        ]
    )


def walk(seed: int, steps: int = 400) -> Log:
    """A log of whatever was allowed."""
    chance = random.Random(seed)
    log, now = Log(nation()), NOW
    for number in range(steps):
        now += chance.choice([0, 1, 1000, HOUR])
        change = any_change(chance, number, now)
        if log.refusal(change, at_ms=now) is None:
            log.record(change, at_ms=now)
    return log


@pytest.fixture(scope="module", params=range(6))
def log(request: pytest.FixtureRequest) -> Log:
    return walk(request.param)


def test_walk_meets_what_it_is_meant_to_meet(log: Log) -> None:
    assert len(log.events) > 80
    assert len({event.change.kind for event in log.events}) > 15


def test_fold_of_the_log_is_the_state_that_grew_with_it(log: Log) -> None:
    assert fold(log.events) == log.state
    assert fold(log.events) == fold(log.events)


def test_state_at_a_position_does_not_depend_on_the_way_there(log: Log) -> None:
    chance = random.Random(1)
    for _ in range(10):
        first, second = sorted(chance.sample(range(len(log.events) + 1), 2))
        earlier = fold(log.events[:first])
        later = fold(log.events[first:second], earlier)
        assert later == fold(log.events[:second])
        assert earlier == fold(log.events[:first]), "a later fold changed the state that it started from"
        assert later.position == second


def test_state_survives_being_stored(log: Log) -> None:
    stored = stored_form(log)
    again = list(parse_events(stored, position=0, head=EMPTY_HASH, time_ms=0))
    assert again == log.events
    assert fold(again) == log.state


def test_state_is_consistent_in_itself(log: Log) -> None:
    state = log.state
    listed = [digest for entry in state.subsystems.values() for digest in entry.certificates]
    assert sorted(listed) == sorted(state.certificates)
    for path, entry in state.subsystems.items():
        assert all(state.certificates[digest].subsystem == path for digest in entry.certificates)
        assert entry.member in state.members
    for agent, client in state.agents:
        assert state.subsystems[agent].revoked_ms is state.subsystems[client].revoked_ms is None
    for made in state.grants.values():
        if made.revoked_ms is None:
            assert state.subsystems[made.provider].services == (SERVICE,)


def stored_form(log: Log) -> list:  # type: ignore[type-arg]
    heads = [EMPTY_HASH, *(event.hash for event in log.events)]
    return [store_event(event, head) for event, head in zip(log.events, heads, strict=False)]


def tampered(log: Log) -> Iterator[tuple[str, list, int]]:  # type: ignore[type-arg]
    stored = stored_form(log)
    at = 20
    for name, value in {"operator": "ops:mallory", "reason": "x", "kind": "member.resumed", "payload": "{}"}.items():
        yield name, [*stored[:at], replace(stored[at], **{name: value}), *stored[at + 1 :]], at + 1
    yield "time", [*stored[:at], replace(stored[at], time_ms=stored[at].time_ms + 1), *stored[at + 1 :]], at + 1
    yield "dropped", [*stored[:at], *stored[at + 1 :]], at + 1
    yield "swapped", [*stored[:at], stored[at + 1], stored[at], *stored[at + 2 :]], at + 1
    forged = store_event(replace(log.events[at], operator="ops:mallory"), stored[at].previous)
    yield "rewritten with a right hash", [*stored[:at], forged, *stored[at + 1 :]], at + 2


def test_any_changed_dropped_or_moved_event_breaks_the_chain_where_it_is() -> None:
    log = walk(7, 100)
    for name, stored, position in tampered(log):
        with pytest.raises(LogBroken) as broken:
            list(parse_events(stored, position=0, head=EMPTY_HASH, time_ms=0))
        assert broken.value.position == position, name


def test_every_kind_says_what_it_is_and_reads_back(log: Log) -> None:
    for event in log.events:
        text = encode_change(event.change)
        assert decode_change(event.change.kind, text) == event.change
        assert encode_change(decode_change(event.change.kind, text)) == text
    assert all(kind == shape.kind and shape.__doc__ for kind, shape in KINDS.items())
    assert len({shape.kind for shape in KINDS.values()}) == len(KINDS)


def test_text_of_an_event_is_fixed() -> None:
    change = MemberAdded("gov", "mps", "Bộ Công an", "Ministry of Public Security")
    assert encode_change(change) == (
        '{"code":"mps","member_class":"gov","name_en":"Ministry of Public Security","name_vi":"Bộ Công an"}'
    )
    assert encode_change(QuotaSet("g", Quota(burst=2))) == '{"grant_id":"g","quota":{"burst":2}}'
    assert '"kind":"SERVER_STREAM"' in encode_change(service())
    event = Log(nation()[:2]).events[1]
    assert store_event(event, EMPTY_HASH).hash == store_event(event, EMPTY_HASH).hash


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("member.vanished", "{}"),
        ("member.suspended", ""),
        ("member.suspended", "[]"),
        ("member.suspended", "{}"),
        ("member.suspended", '{"member":1}'),
        ("member.suspended", '{"member":"gov/mps","extra":1}'),
        ("instance.ages-set", '{"alarm_after_ms":true,"refuse_after_ms":2}'),
        ("certificate.revoked", '{"digest":"AB"}'),
        ("certificate.revoked", '{"digest":"a b"}'),
        ("grant.quota-set", '{"grant_id":"g","quota":{"calls":1}}'),
        ("subsystem.endpoints-set", '{"subsystem":"a","endpoints":"b"}'),
        ("service.registered", '{"service":"a.B","image":"","methods":[{"path":"/a.B/C","kind":"SOMETIMES"}]}'),
    ],
)
def test_payload_that_govbus_did_not_write_is_refused(kind: str, payload: str) -> None:
    with pytest.raises(PayloadError):
        decode_change(kind, payload)


def test_a_state_is_never_changed_in_place() -> None:
    before = fold(Log(nation()).events)
    copies = {
        field.name: dict(value) for field in fields(before) if isinstance(value := getattr(before, field.name), dict)
    }
    log = Log()
    log.state = before
    log.record(SubsystemRevoked("gov/moj/civil-status"), MemberSuspended("gov/mps"))
    assert {name: getattr(before, name) for name in copies} == copies
    assert EMPTY.members == {}
