"""Keys and certificates once, a policy of its own for each test; what runs on it is started by the test."""

from pathlib import Path

import pytest

from tests.bus.exchange.world import World, everybody
from tests.support.authority import Instance


@pytest.fixture(scope="session")
def members(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return everybody(tmp_path_factory.mktemp("members"))


@pytest.fixture
def world(tmp_path: Path, members: Instance) -> World:
    directory = tmp_path / "an instance"
    directory.mkdir()
    return World.make(directory, members)


@pytest.fixture
def own_world(tmp_path: Path) -> World:
    """With keys and certificates that the test may replace."""
    directory = tmp_path / "own instance"
    directory.mkdir()
    return World.make(directory)
