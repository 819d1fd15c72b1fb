"""What is published follows the log: bound to it, never backwards, whole whatever dies; measured at a real gate in
tests/integration/test_policy_in_force.py.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.edge.instance import Instance
from bus.edge.publisher import Publisher, PublisherError
from bus.edge.snapshot_files import peek_header
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database, DatabaseUnavailable
from bus.registry.members import InstanceFounded
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from bus.registry.subsystems import SubsystemAdded, SubsystemResumed, SubsystemSuspended
from native.policy import Policy
from native.snapshot import BROKER_SCOPE, verify_snapshot
from pki.signer import FileSigner
from tests.support.nation import BROKER, CALLER, OTHER, PROVIDER, make_small_nation
from tests.support.registered import ACT, found_registry, now_ms

TOP = Path(__file__).resolve().parents[3]


@dataclass
class World:
    instance: Instance
    registry: Registry
    store: EventStore
    database: Database

    def publisher(self) -> Publisher:
        signer = FileSigner.load(self.instance.state / "policy-signing-key.pem")
        return Publisher(self.instance.state, self.registry, signer, now_ms)

    def served(self, path: str) -> tuple[int, int, Policy]:
        """Version, log position and policy in a home, verified as its reader would."""
        broker = path == BROKER
        home = self.instance.broker_home(path) if broker else self.instance.home(path)
        scope = BROKER_SCOPE if broker else self.instance.subsystem_id(path).spiffe_id
        data = (home / "snapshot.bin").read_bytes()
        found = verify_snapshot(data, self.instance.policy_key_point, self.instance.trust_domain, scope, now_ms())
        return found.header.version, found.header.log_position, found.policy

    def active(self, reader: str, path: str) -> bool:
        policy = self.served(reader)[2]
        index = policy.find_subsystem(self.instance.subsystem_id(path).spiffe_id)
        assert index is not None
        return policy.subsystem(index).active


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[World]:
    instance = make_small_nation(tmp_path / "a state")
    registry, store = found_registry(instance, database)
    with store:
        yield World(instance, registry, store, database)


def test_versions_go_on_from_the_files_and_name_the_log_position(world: World) -> None:
    with world.publisher() as publisher:
        assert publisher.last is not None
        position = world.registry.state().position
        assert (publisher.last.version, publisher.last.log_position) == (2, position)
        for reader in (BROKER, PROVIDER, CALLER, OTHER):
            assert world.served(reader)[:2] == (2, position)


def test_only_readers_whose_part_changed_get_a_new_file(world: World) -> None:
    publisher = world.publisher()
    publisher.publish()
    assert publisher.publish() is None
    world.registry.record([SubsystemSuspended(OTHER)], ACT)
    published = publisher.publish()
    assert published is not None
    assert (published.version, published.scopes) == (3, 2)
    assert [world.served(reader)[0] for reader in (BROKER, OTHER, PROVIDER, CALLER)] == [3, 3, 2, 2]
    assert not world.active(BROKER, OTHER)
    publisher.stop()


def test_instance_that_has_no_subsystem_yet_is_published_once(tmp_path: Path, database: Database) -> None:
    signer = FileSigner.load_or_create(tmp_path / "policy-signing-key.pem")
    with EventStore(database) as store:
        registry = Registry(store, now_ms)
        registry.record([InstanceFounded("bus.test.example")], ACT)
        publisher = Publisher(tmp_path / "a state", registry, signer, now_ms)
        assert publisher.publish() is not None
        assert publisher.publish() is None
        publisher.stop()


def test_hourly_renewal_in_slices_reaches_every_reader_and_tells_once(world: World) -> None:
    now = now_ms()
    signer = FileSigner.load(world.instance.state / "policy-signing-key.pem")
    publisher = Publisher(world.instance.state, world.registry, signer, lambda: now)
    world.registry.record([SubsystemAdded(f"gov/mof/s{number}") for number in range(300)], ACT)
    first = publisher.publish()
    now += 3_600_000
    renewed = publisher.publish()
    assert first is not None
    assert renewed is not None
    assert (renewed.version, renewed.log_position) == (first.version + 1, first.log_position)
    world.registry.record([SubsystemSuspended(OTHER)], ACT)
    changed = publisher.publish()
    assert changed is not None
    assert publisher.publish() is None
    snapshots = (world.instance.state / "snapshots").glob("*.snapshot")
    headers = [peek_header(path.read_bytes()) for path in snapshots]
    assert len(headers) == 304
    assert {header.created_at_ms for header in headers} == {now}
    assert {header.version for header in headers} == {renewed.version, changed.version}
    publisher.stop()


def test_part_made_anew_is_of_the_brokers_version_and_of_none_twice(world: World) -> None:
    """It proves what that version permitted; two files of one version would leave open which was served."""
    publisher = world.publisher()
    publisher.publish()
    world.registry.record([SubsystemSuspended(OTHER)], ACT)
    published = publisher.publish()
    assert published is not None
    caller = world.instance.subsystem_id(CALLER).spiffe_id
    file = world.instance.home(CALLER) / "snapshot.bin"
    publisher.renew(caller)
    assert publisher.publish() is None
    assert world.served(CALLER)[:2] == world.served(BROKER)[:2] == (published.version, published.log_position)
    assert world.served(PROVIDER)[0] < published.version
    made = file.read_bytes()
    publisher.renew(caller)
    assert publisher.publish() is None
    assert file.read_bytes() == made
    publisher.stop()


def test_part_made_anew_after_something_ended_is_of_a_version_that_the_brokers_get(world: World) -> None:
    """Else it would say of the version that judged a call what that did not say."""
    now = now_ms()
    signer = FileSigner.load(world.instance.state / "policy-signing-key.pem")
    publisher = Publisher(world.instance.state, world.registry, signer, lambda: now)
    first = publisher.publish()
    assert first is not None
    now = 1 + min(one.not_after_ms for one in world.registry.state().certificates.values())
    publisher._renewed_ms = now  # it is not the hour that has passed
    publisher.renew(world.instance.subsystem_id(CALLER).spiffe_id)
    renewed = publisher.publish()
    assert renewed is not None
    assert header_of(world, CALLER) == header_of(world, BROKER) == (renewed.version, first.log_position)
    assert renewed.version > first.version
    publisher.stop()


def header_of(world: World, path: str) -> tuple[int, int]:
    home = world.instance.broker_home(path) if path == BROKER else world.instance.home(path)
    header = peek_header((home / "snapshot.bin").read_bytes())
    return header.version, header.log_position


def test_home_that_appears_later_or_lost_its_file_is_brought_it(world: World) -> None:
    publisher = world.publisher()
    publisher.publish()
    (world.instance.home(OTHER) / "snapshot.bin").unlink()
    assert publisher.publish() is None
    assert world.served(OTHER)[0] == 2
    publisher.stop()


def test_home_whose_file_was_damaged_or_set_back_is_brought_it_again(world: World) -> None:
    publisher = world.publisher()
    publisher.publish()
    target = world.instance.home(OTHER) / "snapshot.bin"
    older = target.read_bytes()
    world.registry.record([SubsystemSuspended(OTHER)], ACT)
    publisher.publish()
    newest = target.read_bytes()
    for damaged in (older, newest[:-1], newest[:-1] + bytes([newest[-1] ^ 1]), b""):
        time.sleep(0.02)  # a file's time is the kernel's last tick
        target.write_bytes(damaged)
        assert publisher.publish() is None
        assert target.read_bytes() == newest
    publisher.stop()


def test_home_that_cannot_be_written_keeps_nobody_waiting(world: World, caplog: pytest.LogCaptureFixture) -> None:
    target = world.instance.home(OTHER) / "snapshot.bin"
    target.unlink()
    target.mkdir()
    publisher = world.publisher()
    publisher.publish()
    assert world.served(BROKER)[0] == world.served(CALLER)[0] == 2
    assert "does not reach" in caplog.text
    target.rmdir()
    publisher.publish()
    assert world.served(OTHER)[0] == 2
    publisher.stop()


def test_versions_go_on_over_a_restart(world: World) -> None:
    for version in (2, 3, 4):
        with world.publisher() as publisher:
            assert publisher.last is not None
            assert publisher.last.version == version


def test_two_publishers_of_one_instance_are_refused(world: World) -> None:
    with world.publisher(), pytest.raises(PublisherError, match="another process publishes"):
        world.publisher()
    with world.publisher():
        pass


def test_log_that_was_set_back_is_not_published(world: World, postgres_server: Postgres) -> None:
    """A backup from before a revocation must not give the revoked key back."""
    old_changes = list(world.registry.history())
    world.registry.record([SubsystemSuspended(CALLER)], ACT)
    with world.publisher():
        pass
    restored = postgres_server.database(f"{world.database.name}_old")
    store = EventStore(restored)
    registry = Registry(store, lambda: old_changes[0].time_ms)
    image = (world.instance.state / "contracts.binpb").read_bytes()
    files = {digest: image for event in old_changes for digest in event.change.attachments()}
    registry.record([event.change for event in old_changes], ACT, files)
    signer = FileSigner.load(world.instance.state / "policy-signing-key.pem")
    with store:
        with pytest.raises(PublisherError, match="set back"):
            Publisher(world.instance.state, registry, signer, now_ms)
        # Grown as long as the one published from, it is still another log.
        registry.record([SubsystemAdded("gov/mof/customs")], ACT)
        with pytest.raises(PublisherError, match="another one"):
            Publisher(world.instance.state, registry, signer, now_ms)
    assert not world.active(BROKER, CALLER)


def test_damaged_version_record_is_told_and_not_guessed(world: World) -> None:
    with world.publisher():
        pass
    record = world.instance.state / "snapshots" / "published.json"
    for content in (b"", b"{}", b'{"version": "x", "log_position": 1, "log_head": ""}'):
        record.write_bytes(content)
        with pytest.raises(PublisherError, match="damaged"):
            world.publisher()


def test_registry_that_is_down_leaves_the_published_policy_and_is_followed_again(world: World) -> None:
    database = world.database
    with world.publisher() as publisher:
        with database.connect(autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
            )
        assert world.served(BROKER)[0] == 2
        record_patiently(world.registry, SubsystemSuspended(CALLER))
        wait_until(lambda: publisher.last is not None and publisher.last.version == 3)
    assert not world.active(BROKER, CALLER)


def record_patiently(registry: Registry, change: SubsystemSuspended) -> None:
    for _ in range(20):
        try:
            registry.record([change], ACT)
        except DatabaseUnavailable:
            time.sleep(0.1)
        else:
            return


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.02)


def test_killed_at_any_moment_leaves_whole_files_and_never_a_version_twice(world: World) -> None:
    source, highest = random.Random(20261121), 0
    for _ in range(6):
        highest = max(highest, run_and_kill(world, source.uniform(0.0, 0.12)))
        versions = {world.served(reader)[0] for reader in (BROKER, PROVIDER, CALLER, OTHER)}
        begun = json.loads((world.instance.state / "snapshots" / "published.json").read_bytes())["version"]
        assert begun >= max(versions) >= highest
        highest = max(versions)
    registry = world.registry
    if registry.state().subsystems[CALLER].suspended_ms is not None:
        registry.record([SubsystemResumed(CALLER)], ACT)
    with world.publisher() as publisher:
        assert publisher.last is not None
        assert publisher.last.version > highest
        assert world.active(BROKER, CALLER)
        assert {world.served(reader)[0] for reader in (BROKER, PROVIDER, CALLER)} == {publisher.last.version}


def run_and_kill(world: World, seconds: float) -> int:
    """Let a publisher work until it told its first version and some time more; the highest version it told."""
    command = [sys.executable, "-m", "tests.bus.edge.publisher_child", str(world.instance.state), CALLER]
    with subprocess.Popen(command, cwd=TOP, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{world.database.dsn}\n".encode())
        child.stdin.flush()
        assert select.select([child.stdout], [], [], 60)[0]
        first = child.stdout.readline()
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)
        told = [first, *child.stdout.read().splitlines()]
    return max(int(line) for line in told if line.strip())


def test_published_files_are_those_of_the_homes(world: World) -> None:
    with world.publisher():
        published = world.instance.state / "snapshots"
        assert (published / "broker.snapshot").read_bytes() == (
            world.instance.broker_home(BROKER) / "snapshot.bin"
        ).read_bytes()
        name = f"{CALLER.replace('/', '.')}.snapshot"
        assert peek_header((published / name).read_bytes()).version == 2
