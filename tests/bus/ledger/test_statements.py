"""Registry events and policy snapshots as entries: of their kinds, once, and a rewritten past is refused."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from bus.edge.instance import Instance
from bus.engines.postgres_database import Database
from bus.ledger.entry import EntryKind, operator_salt, statement_entry
from bus.ledger.head import Position
from bus.ledger.registry_source import RegistrySource, kind_of
from bus.ledger.snapshot_source import SnapshotSource
from bus.ledger.source import Portion, SourceRefused, SourceUnavailable
from bus.registry.event import Event
from bus.registry.kinds import KINDS
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from native.headers import SnapshotHeader
from native.snapshot import verify_snapshot
from tests.bus.registry.support import ACT, BROKER, IMAGE, NOW, certificate, nation, service, signing_key
from tests.support.nation import BROKER as EDGE_BROKER
from tests.support.nation import make_small_nation

SALT_KEY = os.urandom(32)


@pytest.fixture
def store(database: Database) -> Iterator[EventStore]:
    with EventStore(database) as store:
        yield store


def founded(store: EventStore) -> Registry:
    registry = Registry(store, lambda: NOW)
    registry.record(nation(), ACT, {service().image: IMAGE})
    return registry


def entry_of(event: Event) -> bytes:
    salt = operator_salt(SALT_KEY, "registry", event.position)
    return statement_entry(kind_of(event.change.kind), salt, event.hash)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("grant.made", EntryKind.GRANT),
        ("grant.revoked", EntryKind.GRANT),
        ("signing-key.added", EntryKind.KEY),
        ("certificate.revoked", EntryKind.CERTIFICATE),
        ("issuer.revoked", EntryKind.CERTIFICATE),
        ("member.added", EntryKind.OPERATOR_ACT),
    ],
)
def test_an_event_has_the_kind_of_what_it_changes(kind: str, wanted: EntryKind) -> None:
    assert kind in KINDS
    assert kind_of(kind) is wanted


def test_every_event_is_an_entry_once_and_in_order(store: EventStore) -> None:
    source = RegistrySource(store, SALT_KEY)
    assert source.read(None) == Portion((), {"position": 0, "hash": "00" * 32, "time": 0}, complete=True)
    registry = founded(store)
    first = source.read(None)
    assert first.complete
    registry.record([certificate(BROKER, "c1"), signing_key(BROKER, "k1")], ACT)
    second = source.read(first.position)
    assert [*first.entries, *second.entries] == [entry_of(event) for event in registry.history()]
    assert source.read(second.position).entries == ()
    assert source.read(first.position) == second


def test_a_log_that_was_rolled_back_is_refused(store: EventStore) -> None:
    founded(store)
    source = RegistrySource(store, SALT_KEY)
    position = source.read(None).position
    ahead: Position = {**position, "position": int(position["position"]) + 1}
    with pytest.raises(SourceRefused, match="rolled back"):
        source.read(ahead)


def test_a_log_that_was_rewritten_is_refused(store: EventStore, database: Database) -> None:
    registry = founded(store)
    source = RegistrySource(store, SALT_KEY)
    position = source.read(None).position
    registry.record([certificate(BROKER, "c2")], ACT)
    with psycopg.connect(database.dsn) as connection:  # somebody with the database's own powers
        connection.execute("ALTER TABLE registry_event DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE registry_event SET reason = 'nothing to see' WHERE position > %s", (position["position"],)
        )
    with pytest.raises(SourceRefused, match="hash"):
        source.read(position)


def test_the_salt_cannot_be_guessed_and_does_not_change() -> None:
    salts = {operator_salt(SALT_KEY, "registry", at) for at in range(100)}
    assert len(salts) == 100
    assert operator_salt(SALT_KEY, "registry", 7) in salts
    assert operator_salt(os.urandom(32), "registry", 7) not in salts
    assert operator_salt(SALT_KEY, "snapshots", 7) not in salts


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return make_small_nation(tmp_path / "state")


def snapshot(instance: Instance) -> tuple[Path, SnapshotHeader]:
    path = instance.broker_home(EDGE_BROKER) / "snapshot.bin"
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    found = verify_snapshot(path.read_bytes(), instance.policy_key_point, "bus.test.example", "broker", now_ms)
    return path, found.header


def test_each_version_of_the_policy_is_an_entry_once(instance: Instance) -> None:
    path, header = snapshot(instance)
    source = SnapshotSource(path, instance.policy_key_point, SALT_KEY)
    first = source.read(None)
    assert (len(first.entries), first.position["version"]) == (1, header.version)
    assert source.read(first.position).entries == ()
    assert SnapshotSource(path, instance.policy_key_point, SALT_KEY).read(first.position).entries == ()
    instance.publish(now=datetime.now(UTC))
    second = source.read(first.position)
    assert (len(second.entries), second.position["version"]) == (1, header.version + 1)
    assert second.entries != first.entries


def test_an_older_policy_in_its_place_is_refused(instance: Instance) -> None:
    path, _ = snapshot(instance)
    old = path.read_bytes()
    source = SnapshotSource(path, instance.policy_key_point, SALT_KEY)
    instance.publish(now=datetime.now(UTC))
    position = source.read(None).position
    path.write_bytes(old)
    with pytest.raises(SourceRefused, match="rolled back"):
        source.read(position)


def test_a_policy_of_another_key_is_refused(instance: Instance, tmp_path: Path) -> None:
    path, _ = snapshot(instance)
    other = make_small_nation(tmp_path / "other")
    with pytest.raises(SourceRefused, match="policy key"):
        SnapshotSource(path, other.policy_key_point, SALT_KEY).read(None)


def test_a_policy_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable):
        SnapshotSource(tmp_path / "none", bytes(65), SALT_KEY).read(None)
