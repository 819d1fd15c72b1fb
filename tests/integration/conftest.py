"""Two worlds for the whole session: an attacked one, with an honest provider for each test, whole after each file; and
a whole instance, whose parts fail.
"""

from collections.abc import Iterator

import pytest

from tests.integration.live import Live, running_live
from tests.support.gate_world import World, running_world
from tests.support.raw_provider_answers import honest


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("world") / "a state") as world:
        yield world


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An instance as under `govbus up`, for the tests that break a part of it and see it come back."""
    with running_live(tmp_path_factory.mktemp("live")) as found:
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
