"""Worlds for the whole session: an attacked one, with an honest provider for each test, whole after each file; a whole
instance, whose parts fail; and what a demonstration left behind.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.engines.postgres import Postgres
from tests.integration.live import Live, running_live
from tests.support.elsewhere import Elsewhere
from tests.support.elsewhere import elsewhere as running_elsewhere
from tests.support.gate_world import World, running_world
from tests.support.raw_provider_answers import honest

PEOPLE = 2000
"""In the demonstration's nation."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """`govbus demo --json --state nation`, with few people, as it was run in `folder`."""

    folder: Path
    ran: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    folder = tmp_path_factory.mktemp("a folder")
    command = [sys.executable, "-c", "from bus.cli import main; main()", "demo", "--json", "--state", "nation"]
    command += ["--people", str(PEOPLE)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=folder, check=False)
    return Demonstration(folder, ran)


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("world") / "a state") as world:
        yield world


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An instance as under `govbus up`, for the tests that break a part of it and see it come back."""
    with running_live(tmp_path_factory.mktemp("live")) as found:
        yield found


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory, postgres_server: Postgres) -> Iterator[Elsewhere]:
    """An instance that others have joined by token, from homes that no publisher reaches."""
    with running_elsewhere(tmp_path_factory.mktemp("elsewhere"), postgres_server.database("joined_elsewhere")) as found:
        yield found


@pytest.fixture(scope="module")
def whole_journal(shared_world: World) -> Iterator[World]:
    """At the end of a file everything that was admitted has ended once, and the journal is intact."""
    yield shared_world
    shared_world.settle()


@pytest.fixture
def world(whole_journal: World) -> Iterator[World]:
    """The provider is honest again after each test, and what the test broke in a connection is left behind."""
    whole_journal.provider.behaviour = honest
    yield whole_journal
    whole_journal.provider.behaviour = honest
