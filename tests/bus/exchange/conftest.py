"""One instance per test module; what runs on it is started by each test."""

from pathlib import Path

import pytest

from tests.bus.exchange.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    directory = tmp_path / "an instance"
    directory.mkdir()
    return World.make(directory)
