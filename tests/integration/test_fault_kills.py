"""kill -9 of every part at random, under load and while the registry changes: all of it comes back, and nothing that
was acknowledged is lost or happened twice.

Envoy, PostgreSQL (a backend, or all of it), the ledger and the supervisor, which takes the registry and the publisher
with it, are the instance's; the provider is a member's own process, which its own service manager would start again, as
this test does. After a killed supervisor an operator gives `govbus up` once. GOVBUS_SOAK_SECONDS shortens the long run.
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bus.exchange import load_client_config  # isort: skip - before gRPC

import pytest

from bus.engines.postgres_database import DatabaseUnavailable
from bus.engines.supervisor import EngineError
from bus.registry.change import Change
from bus.registry.event import Event
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from bus.up.control import ask, ask_supervisor
from bus.up.database import registry_database
from bus.up.force import wait_in_force
from bus.up.layout import Layout
from bus.up.process import supervisor_pid
from tests.bus.cli.conftest import COMMAND, Commands
from tests.support.live import ACT, BYSTANDER, CALLER, Provider, home_of, make_live, providing, wait_until
from tests.support.live_judge import judge_journal, judge_ledger, judge_registry
from tests.support.live_load import Load
from tests.support.registered import now_ms

# psycopg closes a named cursor in its `with`, also when the server has just died; that it could not be told is no leak.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function ServerCursorMixin.__del__:pytest.PytestUnraisableExceptionWarning"
)

SEED = 20261122
LONG_SECONDS = float(os.environ.get("GOVBUS_SOAK_SECONDS", "600"))
AWAY = (EngineError, DatabaseUnavailable, OSError)
"""Why a change may not be made now."""
PARTS = ("broker", "broker", "postgres", "backend", "ledger", "provider", "supervisor")


class Changes:
    """An operator at work: changes the registry on and on, and remembers what was acknowledged."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="operator")
        self.acknowledged: list[Event] = []
        self.checkpoints: list[bytes] = []
        """Every checkpoint of the ledger that was seen."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(0.2):
            with contextlib.suppress(FileNotFoundError):
                note = (self._layout.ledger / "checkpoint").read_bytes()
                if note not in self.checkpoints[-1:]:
                    self.checkpoints.append(note)
            with contextlib.suppress(*AWAY), open_registry(self._layout) as registry:
                self.acknowledged += registry.record([next_change(registry)], ACT)


def next_change(registry: Registry) -> Change:
    """One that there can always be."""
    suspended = registry.state().subsystems[BYSTANDER].suspended_ms is not None
    return SubsystemResumed(BYSTANDER) if suspended else SubsystemSuspended(BYSTANDER)


@contextlib.contextmanager
def open_registry(layout: Layout) -> Iterator[Registry]:
    """As a command on the machine opens it."""
    with EventStore(registry_database(layout), migrating=False) as store:
        yield Registry(store, now_ms)


@dataclass
class Killer:
    """Kills parts of one instance, and is its operator afterwards."""

    layout: Layout
    provider: Provider
    source: random.Random
    kills: Counter[str] = field(default_factory=Counter)

    def kill(self, part: str) -> None:
        """If it is there just now. A provider is started again here, everything else by itself."""
        if part == "provider":
            self.provider.end(signal.SIGKILL)
            self.provider.start()
        elif (pid := self.pid_of(part)) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        else:
            return
        self.kills[part] += 1

    def pid_of(self, part: str) -> int | None:
        """None while it is not there."""
        if part == "supervisor":
            return supervisor_pid(self.layout)
        told = ask_supervisor(self.layout) or {}
        if part == "broker":
            return next((one.get("pid") for one in told.get("brokers", {}).values()), None)
        if part == "backend":
            backends = children((told.get("postgres") or {}).get("pid"))
            return self.source.choice(backends) if backends else None
        pid: int | None = (told.get(part) or {}).get("pid")
        return pid


def children(pid: int | None) -> list[int]:
    """Processes that this one started."""
    if pid is None:
        return []
    with contextlib.suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def up(layout: Layout) -> None:
    """`govbus up`, once."""
    done = subprocess.run(
        [*COMMAND, "up", "--state", str(layout.state)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def parts_not_up(layout: Layout) -> list[Any]:
    """What `govbus status` finds wrong."""
    found = Commands(layout.state).json("status", status=None)
    return [part for part in found["parts"] if part["state"] != "up"]


def wait_whole(layout: Layout) -> None:
    """Until every part is up, by itself."""
    end = time.monotonic() + 120
    while wrong := parts_not_up(layout):
        assert time.monotonic() < end, wrong
        time.sleep(0.2)


@contextlib.contextmanager
def ended(layout: Layout) -> Iterator[None]:
    """However it comes, nothing runs afterwards."""
    try:
        yield
    finally:
        Commands(layout.state).run("down", status=None)


def kills_under_load(folder: Path, parts: Iterable[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Kill one part after the other, with pauses of any length, then look at everything."""
    layout = make_live(folder / "a state")
    config = load_client_config(home_of(layout, CALLER) / "config.yaml")
    with ended(layout), providing(layout, folder / "effects") as provider:
        up(layout)
        killer = Killer(layout, provider, random.Random(SEED))
        with Load(config, workers=6) as load:
            with Changes(layout) as changes:
                for part in parts:
                    time.sleep(killer.source.uniform(0.2, 3.0))
                    killer.kill(part)
            wait_whole(layout)
            failed = len(load.failed)
            load.goes_on(50)
            assert len(load.failed) == failed
            with open_registry(layout) as registry:
                (event,) = registry.record([next_change(registry)], ACT)
                assert wait_in_force(layout, event.position, 60.0) is not None
                load.stop()
                events = judge_registry(registry, changes.acknowledged)
        wait_until(lambda: (ask(layout.ledger_writer) or {}).get("behind") == 0)
    # Nothing in the broker's place may fail a call; a provider that is gone for longer than a few attempts does.
    assert set(load.reasons()) <= {"PROVIDER_UNREACHABLE", "PROVIDER_LOST"}
    load.judge_effects(provider)
    intents, entries = judge_journal(layout, load), judge_ledger(layout, changes.checkpoints)
    with capsys.disabled():
        print(f"\nkills {dict(killer.kills)}: {load.said()}")
        print(f"{intents} intents, {entries} ledger entries, {events} events, {len(changes.acknowledged)} acknowledged")
    assert killer.kills


@pytest.mark.soak
def test_each_part_killed_once_everything_comes_back_and_nothing_acknowledged_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = sorted(set(PARTS))
    random.Random(SEED).shuffle(parts)
    kills_under_load(tmp_path, parts, capsys)


@pytest.mark.soak
def test_parts_killed_at_random_for_ten_minutes_nothing_acknowledged_is_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kills_under_load(tmp_path, parts_until(time.monotonic() + LONG_SECONDS), capsys)


def parts_until(end: float) -> Iterator[str]:
    """Any, again and again; envoy twice as often as the others."""
    source = random.Random(SEED)
    while time.monotonic() < end:
        yield source.choice(PARTS)
