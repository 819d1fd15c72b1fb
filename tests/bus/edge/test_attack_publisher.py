"""A publisher that ends unseen would freeze the policy of everybody: whatever goes wrong, it goes on following."""

import logging
from pathlib import Path

import pytest

from bus.edge.publisher import Publisher
from bus.edge.publisher_homes import Homes
from bus.registry.subsystems import SubsystemSuspended
from pki.signer import FileSigner
from tests.bus.edge.test_publisher import World, record_patiently, wait_until, world
from tests.support.nation import BROKER, CALLER
from tests.support.registered import now_ms

__all__ = ["world"]


def test_database_that_answers_with_an_unforeseen_error_is_followed_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, logger="bus.edge.publisher")
    with world.publisher() as publisher:
        with world.database.connect(autocommit=True) as connection:
            connection.execute("ALTER TABLE registry_event RENAME TO registry_event_away")
            wait_until(lambda: bool(caplog.records))
            connection.execute("ALTER TABLE registry_event_away RENAME TO registry_event")
        record_patiently(world.registry, SubsystemSuspended(CALLER))
        wait_until(lambda: publisher.last is not None and publisher.last.version == 3)
    assert not world.active(BROKER, CALLER)


def test_policy_made_while_the_clock_was_ahead_is_made_again_when_it_is_set_back(world: World) -> None:
    ahead_ms = 7_200_000
    signer = FileSigner.load(world.instance.state / "policy-signing-key.pem")
    publisher = Publisher(world.instance.state, world.registry, signer, lambda: now_ms() + ahead_ms)
    try:
        publisher.publish()
        ahead_ms = 0
        publisher.publish()
        world.served(BROKER)  # verified: not made in the future
    finally:
        publisher.stop()


def test_link_to_itself_that_a_subsystem_planted_keeps_no_policy_from_the_brokers(tmp_path: Path) -> None:
    state = tmp_path / "state"
    target = state / "subsystems" / "gov.mps.population" / "snapshot.bin"
    broker = state / "brokers" / "gov.ndc.broker-1" / "snapshot.bin"
    for home in (target.parent, broker.parent):
        home.mkdir(parents=True)
    target.symlink_to(target.name)
    homes = Homes(state)
    try:
        for version in (1, 2):
            homes.put_parts(version, [("spiffe://bus.gov.example/gov/mps/population", b"part %d" % version)])
            homes.put_broker(version, b"snapshot %d" % version, b"endpoints")
            homes.deliver()
            assert broker.read_bytes() == b"snapshot %d" % version
            assert target.read_bytes() == b"part %d" % version
            target.unlink()
            target.symlink_to(target.name)
    finally:
        homes.close()
