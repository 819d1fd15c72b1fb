"""The ledger's process beside real journals, without any database: what it promises whatever is killed or set back."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bus.edge.instance import Instance
from bus.evidence.entries import INTENT, OUTCOME, ledger_entry
from bus.ledger.reader import LedgerReader
from bus.ledger.storage import TileFiles
from bus.ledger.tree import audited
from bus.up.control import ask
from bus.up.doctor_evidence import ledger as examine_ledger
from bus.up.findings import Level
from bus.up.layout import Layout
from bus.up.ledger_lag import LedgerLag
from native.journal import load_segments, read_groups
from tests.support.nation import BROKER, TRUST_DOMAIN, make_small_nation
from tests.support.recorded_call import RecordedCall, record_call

SNAPSHOTS = 1
"""Entries that are not of calls: the one policy."""


class Ledger:
    """A process that may be killed and started again."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        layout.ledger_writer.mkdir(mode=0o700)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "bus.up.ledger_process", str(self.layout.state)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def told(self) -> dict[str, Any]:
        """By the process that runs; empty before it answers."""
        found = ask(self.layout.ledger_writer) or {}
        return found if self.process is not None and found.get("pid") == self.process.pid else {}

    def wait(self, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        end = time.monotonic() + 60
        while not ((told := self.told()) and true(told)):
            assert self.process is None or self.process.poll() is None, "it ended"
            assert time.monotonic() < end, told
            time.sleep(0.05)
        return told

    def wait_entries(self, count: int) -> dict[str, Any]:
        return self.wait(lambda told: told.get("size", 0) >= count + SNAPSHOTS)


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    made = make_small_nation(tmp_path / "state")
    content = {"trust_domain": TRUST_DOMAIN, "broker": BROKER}
    (made.state / "instance.json").write_text(json.dumps(content))
    return made


@pytest.fixture
def ledger(instance: Instance) -> Iterator[Ledger]:
    found = Ledger(Layout(instance.state))
    yield found
    if found.process is not None and found.process.poll() is None:
        found.end(signal.SIGKILL)


def entries_of(call: RecordedCall) -> list[bytes]:
    return [ledger_entry(INTENT, call.admission), ledger_entry(OUTCOME, call.receipt)]


def data_bytes(journal: Path) -> int:
    """What its groups take (docs/formats.md): heads of 52, a commit's payload of 144."""
    groups = read_groups(load_segments(journal))
    return sum(52 + 144 + sum(52 + len(record.payload) for record in group.records) for group in groups)


def audit(layout: Layout) -> list[bytes]:
    """Every entry, each held to the checkpoint."""
    size = LedgerReader.open(layout.ledger).checkpoint().size
    return [entry for part in audited(size, TileFiles(layout.ledger).tile) for entry in part]


def test_calls_are_entered_and_proved_while_there_is_no_database(instance: Instance, ledger: Ledger) -> None:
    before = record_call(instance)
    lag = LedgerLag(ledger.layout, ledger.layout.expect())
    assert lag.bytes_behind([BROKER]) is None  # there is no ledger yet
    ledger.start()
    ledger.wait_entries(2)
    after = record_call(instance)
    told = ledger.wait_entries(4)
    errors = {name: one["error"] for name, one in told["sources"].items()}
    assert "database" in errors.pop("registry")
    assert set(errors.values()) == {""}
    assert ledger.wait(lambda told: told["behind"] == 0)["halted"] == ""
    assert lag.bytes_behind([BROKER]) == 0
    proofs = LedgerReader.open(ledger.layout.ledger).prove_entries([*entries_of(before), *entries_of(after)])
    assert len({proof.index for proof in proofs}) == 4
    (found,) = examine_ledger(ledger.layout, running=True)
    assert (found.level, "registry" in found.found) == (Level.WARNING, True)
    ledger.end()
    size = data_bytes(before.journal)
    record_call(instance)
    assert lag.bytes_behind([BROKER]) == data_bytes(before.journal) - size > 0  # with nobody there to tell
    assert LedgerLag(ledger.layout, ledger.layout.expect()).bytes_behind([BROKER]) == lag.bytes_behind([BROKER])
    assert {"signing-key.pem", "salt-key", "checkpoint"} <= {
        file.name for file in ledger.layout.ledger_writer.iterdir()
    }
    assert all(file.stat().st_mode & 0o077 == 0 for file in ledger.layout.ledger_writer.iterdir())
    assert not {"signing-key.pem", "salt-key"} & {file.name for file in ledger.layout.ledger.iterdir()}


def test_killed_at_any_moment_it_enters_everything_once(instance: Instance, ledger: Ledger) -> None:
    source = random.Random(20261122)
    expected: list[bytes] = []
    for _ in range(2):
        expected += entries_of(record_call(instance))
        ledger.start()
        time.sleep(source.uniform(0.5, 1.5))
        expected += entries_of(record_call(instance))
        ledger.end(signal.SIGKILL)
    ledger.start()
    ledger.wait_entries(len(expected))
    assert ledger.wait(lambda told: told["behind"] == 0)
    found = audit(ledger.layout)
    assert len(found) == len(set(found)) == len(expected) + SNAPSHOTS
    assert [entry for entry in found if entry in set(expected)] == expected


@pytest.mark.parametrize("lost", ["salt-key", "signing-key.pem"])
def test_lost_secret_of_a_ledger_that_began_is_not_replaced(instance: Instance, ledger: Ledger, lost: str) -> None:
    """Another salt key would leave all entries of the registry before it unprovable, and say nothing."""
    record_call(instance)
    ledger.start()
    size = ledger.wait_entries(2)["size"]
    ledger.end()
    path = ledger.layout.ledger_writer / lost
    kept = path.read_bytes()
    path.unlink()
    ledger.start()
    told = ledger.wait(lambda told: told["halted"])
    assert lost in told["halted"]
    assert "backup" in told["halted"]
    assert not path.exists()
    path.write_bytes(kept)
    path.chmod(0o600)
    ledger.wait(lambda told: not told["halted"])
    ledger.wait_entries(size - SNAPSHOTS)


def test_what_was_acknowledged_is_entered_before_it_ends(instance: Instance, ledger: Ledger) -> None:
    ledger.start()
    ledger.wait_entries(0)
    calls = [record_call(instance) for _ in range(3)]
    assert ledger.end() == 0
    assert set(audit(ledger.layout)) >= {entry for call in calls for entry in entries_of(call)}


@pytest.mark.parametrize("lost", [False, True], ids=["set back", "lost"])
def test_log_that_is_set_back_stands_still_until_the_newer_one_is_there(
    instance: Instance, ledger: Ledger, tmp_path: Path, lost: bool
) -> None:
    layout = ledger.layout
    record_call(instance)
    ledger.start()
    ledger.wait_entries(2)
    ledger.end()
    shutil.copytree(layout.ledger, tmp_path / "older")
    record_call(instance)
    ledger.start()
    newest = ledger.wait_entries(4)["size"]
    ledger.end()
    (resting,) = examine_ledger(layout, running=False)
    assert resting.level is Level.OK
    layout.ledger.rename(tmp_path / "newer")
    if not lost:
        shutil.copytree(tmp_path / "older", layout.ledger)
    (resting,) = examine_ledger(layout, running=False)
    assert (resting.level, "ledger-writer" in resting.do) == (Level.WRONG, True)

    ledger.start()
    told = ledger.wait(lambda told: told["halted"])
    assert "rolled back" in told["halted"]
    assert (told["serving"], "size" in told) == (False, False)
    kept = (layout.ledger_writer / "inconsistent.txt").read_bytes()
    assert (tmp_path / "newer" / "checkpoint").read_bytes() in kept
    record_call(instance)  # calls go on
    (running,) = examine_ledger(layout, running=True)
    assert running.level is Level.WRONG

    shutil.rmtree(layout.ledger)
    (tmp_path / "newer").rename(layout.ledger)
    ledger.wait(lambda told: not told["halted"])
    ledger.wait_entries(6)
    assert len(audit(layout)) == newest + 2
