"""One instance per test module: making keys is cheap, but not free."""

from pathlib import Path

import pytest

from tests.support.authority import Instance


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return Instance(tmp_path_factory.mktemp("instance"))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """Another instance that claims the same trust domain."""
    return Instance(tmp_path_factory.mktemp("foreign"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "a state with spaces"
