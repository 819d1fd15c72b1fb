"""A registry on a real PostgreSQL, with a clock that the test holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from bus.engines.postgres_database import Database
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from tests.bus.registry.support import ACT, IMAGE, NOW, nation, service


@dataclass
class Clock:
    now: int = NOW
    step: int = field(default=0)

    def __call__(self) -> int:
        self.now += self.step
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database) -> Iterator[EventStore]:
    with EventStore(database) as store:
        yield store


@pytest.fixture
def registry(store: EventStore, clock: Clock) -> Registry:
    """Founded, with the small nation of support.py."""
    registry = Registry(store, clock)
    registry.record(nation(), ACT, {service().image: IMAGE})
    clock.now += 1
    return registry
