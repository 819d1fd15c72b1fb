"""A publisher that ends unseen would freeze the policy of everybody: whatever goes wrong, it goes on following."""

import logging

import pytest

from bus.registry.subsystems import SubsystemSuspended
from tests.bus.edge.test_publisher import World, record_patiently, wait_until, world
from tests.support.nation import BROKER, CALLER

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
