"""A checkpoint saves time and decides nothing: the log has the last word, whatever the file says."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bus.registry import checkpoint
from bus.registry.checkpoint import load_checkpoint, store_checkpoint
from bus.registry.fold import EMPTY
from bus.registry.registry import Registry
from bus.registry.state import RegistryState
from bus.registry.store import EventStore
from bus.registry.subsystems import AgentAppointed, SubsystemAdded, SubsystemSuspended
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, CIVIL, IMAGE, NOW, POPULATION, Log, nation, service
from tests.bus.registry.test_policy_live import Country


@pytest.mark.parametrize("seed", range(3))
def test_state_comes_back_as_it_was_whatever_was_recorded(tmp_path: Path, seed: int) -> None:
    country = Country(seed)
    for _ in range(40):
        country.step()
    for state in (country.log.state, Log(nation()).state, EMPTY):
        store_checkpoint(tmp_path / "checkpoint", state)
        assert load_checkpoint(tmp_path / "checkpoint") == state


def test_checkpoint_that_is_not_whole_or_of_other_code_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint"
    assert load_checkpoint(path) is None
    store_checkpoint(path, Log(nation()).state)
    whole = path.read_bytes()
    line, _, body = whole.partition(b"\n")
    cases: list[Callable[[], bytes]] = [
        lambda: whole[:-1],
        lambda: whole[: len(line) // 2],
        lambda: b"",
        lambda: line + b"\n" + body.replace(b"grant-1", b"grant-2"),
        lambda: json.dumps(json.loads(line) | {"code": "another"}).encode() + b"\n" + body,
        lambda: json.dumps(json.loads(line) | {"format": 0}).encode() + b"\n" + body,
    ]
    for case in cases:
        path.write_bytes(case())
        assert load_checkpoint(path) is None
    path.write_bytes(whole)
    assert load_checkpoint(path) is not None
    monkeypatch.setattr(checkpoint, "_code", lambda: "newer")
    assert load_checkpoint(path) is None


@pytest.fixture
def kept(tmp_path: Path, store: EventStore) -> tuple[Path, Registry]:
    """A registry with a checkpoint, and what was recorded after it."""
    path, clock = tmp_path / "checkpoint", Clock()
    registry = Registry(store, clock, path)
    registry.record(nation(), ACT, {service().image: IMAGE})
    registry.store_checkpoint()
    registry.record([SubsystemAdded("gov/moj/agent")], ACT)
    registry.record([AgentAppointed("gov/moj/agent", CIVIL)], ACT)
    return path, registry


def test_registry_that_begins_with_a_checkpoint_knows_what_came_after_it(
    kept: tuple[Path, Registry], store: EventStore
) -> None:
    path, registry = kept
    opened = Registry(store, Clock(), path)
    assert opened.state() == registry.state() == Registry(store, Clock()).state()
    assert opened.record([SubsystemSuspended(CIVIL)], ACT)[0].position == registry.state().position
    assert [event.position for event in opened.history()] == list(range(1, opened.state().position + 1))


def test_checkpoint_that_the_log_does_not_bear_out_is_not_believed(
    kept: tuple[Path, Registry], store: EventStore
) -> None:
    path, registry = kept
    true = load_checkpoint(path)
    assert true is not None
    forged = replace(true, subsystems={key: true.subsystems[key] for key in (CIVIL,)})
    for lie in (replace(forged, head=bytes(32)), replace(forged, position=true.position + 1), beyond(forged)):
        store_checkpoint(path, lie)
        assert Registry(store, Clock(), path).state() == registry.state()
        assert POPULATION in registry.state().subsystems


def beyond(state: RegistryState) -> RegistryState:
    """As if the database had been set back behind it."""
    return replace(state, position=state.position + 1_000, time_ms=NOW)


def test_checkpoint_is_written_when_enough_came_since(kept: tuple[Path, Registry]) -> None:
    path, registry = kept
    before = path.read_bytes()
    registry.store_checkpoint(after=3)
    assert path.read_bytes() == before
    registry.store_checkpoint(after=2)
    found = load_checkpoint(path)
    assert found is not None
    assert found == registry.state()
    assert path.stat().st_mode & 0o777 == 0o600
