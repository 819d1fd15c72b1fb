"""The log on a real PostgreSQL: all or nothing, one after another, for ever, whoever writes and whatever dies."""

import hashlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database, DatabaseUnavailable
from bus.registry.event import LogBroken
from bus.registry.keys import CertificateRevoked
from bus.registry.members import MemberAdded, MemberSuspended
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.registry import Registry
from bus.registry.services import ServiceRevised
from bus.registry.store import EventStore
from bus.registry.subsystems import EndpointsSet, SubsystemAdded, SubsystemSuspended
from native.policy_types import Method
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import (
    ACT,
    BROKER,
    CIVIL,
    DAY,
    IMAGE,
    LATER_IMAGE,
    NOW,
    POPULATION,
    SERVICE,
    Log,
    certificate,
    key_id,
    nation,
    service,
    signing_key,
)


def reason(registry: Registry, *changes: object, files: dict[bytes, bytes] | None = None) -> RefusalReason:
    with pytest.raises(Refusal) as refused:
        registry.record(changes, ACT, files)  # type: ignore[arg-type]  # changes
    return refused.value.reason


def test_another_registry_on_the_same_log_has_the_same_state(registry: Registry, store: EventStore) -> None:
    assert registry.state() == Registry(store, Clock()).state() == replace(Log(nation()).state)


def test_past_states_are_read_by_position_and_by_time(registry: Registry, clock: Clock) -> None:
    founded = registry.state()
    clock.now = NOW + 1000
    (suspended,) = registry.record([SubsystemSuspended(CIVIL)], ACT)
    clock.now = NOW + 2000
    registry.record([MemberSuspended("gov/mps")], ACT)
    assert registry.state_at(suspended.position - 1) == founded == registry.state_at_time(NOW + 999)
    for past in (registry.state_at(suspended.position), registry.state_at_time(NOW + 1999)):
        assert past.subsystems[CIVIL].suspended_ms == NOW + 1000
        assert past.members["gov/mps"].suspended_ms is None
    assert registry.state_at(founded.position + 2) == registry.state_at_time(NOW + DAY) == registry.state()
    assert registry.state_at_time(NOW - 1).position == 0
    with pytest.raises(ValueError, match=f"ends at position {founded.position + 2}"):
        registry.state_at(1000)


def test_every_event_says_who_and_why(registry: Registry) -> None:
    events = list(registry.history())
    assert [event.position for event in events] == list(range(1, len(nation()) + 1))
    assert {(event.operator, event.reason) for event in events} == {(ACT.operator, ACT.reason)}
    assert [event.change for event in registry.history(after=3, until=5)] == nation()[3:5]


def test_refused_request_leaves_no_trace(registry: Registry, store: EventStore) -> None:
    before = store.head()
    good = MemberAdded("gov", "moh", "Bộ Y tế", "Ministry of Health")
    assert reason(registry, good, SubsystemSuspended("gov/moh/none")) is RefusalReason.UNKNOWN_SUBSYSTEM
    assert store.head() == before
    registry.record([good], ACT)


def test_two_writers_never_decide_by_the_same_state(registry: Registry, store: EventStore) -> None:
    writers = [registry, *(Registry(store, Clock(NOW + 1)) for _ in range(3))]
    before = store.head()

    def add(number: int) -> str:
        try:
            writers[number % 4].record([SubsystemAdded(f"gov/mps/s-{number // 4}")], ACT)
        except Refusal as refusal:
            return refusal.reason.value
        return "recorded"

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(add, range(40)))
    assert results.count("recorded") == 10
    assert results.count("duplicate") == 30
    assert store.head() == before + 10
    assert all(writer.state() == registry.state() for writer in writers)


def test_tls_key_is_known_for_ever_even_after_its_certificate_was_forgotten(registry: Registry, clock: Clock) -> None:
    first = certificate(CIVIL, "civil-1")
    clock.now = NOW + 2 * DAY
    registry.record([certificate(CIVIL, "civil-2", not_before=clock.now)], ACT)
    assert first.digest not in registry.state().certificates
    again = replace(certificate(POPULATION, "x", not_before=clock.now), key_id=first.key_id)
    assert reason(registry, again) is RefusalReason.KEY_KNOWN
    revoked = certificate(CIVIL, "civil-2", not_before=clock.now)
    registry.record([CertificateRevoked(revoked.digest)], ACT)
    assert reason(registry, revoked) is RefusalReason.KEY_KNOWN
    assert reason(
        registry, signing_key(CIVIL, "population", not_before=clock.now + DAY, not_after=clock.now + 2 * DAY)
    ) is (RefusalReason.KEY_KNOWN)


def test_contract_is_stored_with_the_event_that_names_it(registry: Registry) -> None:
    assert registry.attachment(service().image) == IMAGE
    digest = hashlib.sha256(LATER_IMAGE).digest()
    revised = ServiceRevised(SERVICE, digest, (*service().methods, Method(f"/{SERVICE}/More")))
    for files in ({}, {digest: b"another"}, {digest: LATER_IMAGE, service().image: IMAGE}):
        assert reason(registry, revised, files=files) is RefusalReason.ATTACHMENT
    registry.record([revised], ACT, {digest: LATER_IMAGE})
    assert registry.attachment(digest) == LATER_IMAGE
    with pytest.raises(KeyError):
        registry.attachment(bytes(32))


@pytest.mark.parametrize("table", ["registry_event", "registry_key", "registry_attachment"])
@pytest.mark.parametrize("statement", ["DELETE FROM {}", "TRUNCATE {} CASCADE", "UPDATE {} SET {} = NULL"])
def test_database_refuses_to_forget(registry: Registry, database: Database, table: str, statement: str) -> None:
    column = {"registry_event": "reason", "registry_key": "use", "registry_attachment": "content"}[table]
    with database.connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.format(table, column))


def test_database_refuses_gaps_and_forks(registry: Registry, database: Database, store: EventStore) -> None:
    *_, last = store.events()
    for position, previous in ((last.position + 2, last.hash), (last.position + 1, bytes(32)), (1, bytes(32))):
        with database.connect() as connection, pytest.raises(psycopg.errors.IntegrityError):
            connection.execute(
                "INSERT INTO registry_event (position, time_ms, operator, reason, kind, payload, previous, hash)"
                " VALUES (%s, 1, 'a', 'b', 'c', '{}', %s, %s)",
                (position, previous, hashlib.sha256(b"fork").digest()),
            )


def test_log_that_was_changed_behind_our_back_is_not_believed(
    registry: Registry, database: Database, store: EventStore
) -> None:
    with database.connect() as connection:
        connection.execute("ALTER TABLE registry_event DISABLE TRIGGER USER")
        connection.execute("UPDATE registry_event SET operator = 'ops:mallory' WHERE position = 5")
    with pytest.raises(LogBroken) as broken:
        Registry(store, Clock()).state()
    assert broken.value.position == 5


def test_followers_hear_of_a_change_at_once(registry: Registry, store: EventStore) -> None:
    heard: list[tuple[int, float]] = []
    listening = threading.Event()

    def follow() -> None:
        for position in Registry(store, Clock()).positions(seconds=30):
            heard.append((position, time.monotonic()))
            listening.set()
            if len(heard) == 2:
                return

    follower = threading.Thread(target=follow)
    follower.start()
    assert listening.wait(10)
    began = time.monotonic()
    registry.record([EndpointsSet(BROKER, ("127.0.0.1:7444",))], ACT)
    follower.join(10)
    assert [position for position, _ in heard] == [len(nation()), len(nation()) + 1]
    assert heard[1][1] - began < 2


def test_nothing_acknowledged_is_lost_when_the_server_is_killed_again_and_again(tmp_path: Path) -> None:
    with Postgres(tmp_path) as server, EventStore(server.database("registry")) as store:
        registry = Registry(store, Clock())
        registry.record(nation(), ACT, {service().image: IMAGE})
        acknowledged: set[str] = set()
        stop = threading.Event()

        def write() -> None:
            number = 0
            while not stop.is_set():
                name, number = f"gov/mps/s-{number}", number + 1
                try:
                    registry.record([SubsystemAdded(name)], ACT)
                except DatabaseUnavailable:
                    continue
                acknowledged.add(name)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(3):
            starts, pid = server.supervisor.starts, server.supervisor.pid
            time.sleep(0.3)
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            until = time.monotonic() + 20
            while server.supervisor.starts == starts or not server.supervisor.ready:
                assert time.monotonic() < until
                time.sleep(0.02)
        count = len(acknowledged)
        until = time.monotonic() + 20
        while len(acknowledged) == count and time.monotonic() < until:
            time.sleep(0.02)
        stop.set()
        writer.join(20)
        assert len(acknowledged) > count, "the registry did not come back after the last kill"
        state = Registry(store, Clock()).state()
        assert acknowledged <= set(state.subsystems)
        assert registry.state() == state


def test_without_a_database_the_refusal_says_what_to_do(database: Database) -> None:
    gone = Database("registry", f"{database.dsn} port=1")
    with pytest.raises(DatabaseUnavailable, match="govbus status"):
        EventStore(gone)


def test_signing_key_ids_are_those_of_pki() -> None:
    assert signing_key(CIVIL, "civil").key_id == key_id("civil")
