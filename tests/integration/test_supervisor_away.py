"""kill -9 of the supervisor, of its guardian, of both, under load: no call fails; what runs is found again, or ended.

The parts are one instance's, as `govbus up` starts it; its provider is a process beside it.
"""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from bus.exchange import load_client_config  # isort: skip - before gRPC

import pytest
from vn.administrative.v1 import administrative_pb2

from bus.edge.nation import contract_image
from bus.engines.records import Records
from bus.up.control import ask
from bus.up.layout import Layout
from bus.up.process import guardian_pid, supervisor_pid
from pki.signer import FileSigner
from tests.bus.cli.conftest import Commands
from tests.support.keeping_child import is_alive
from tests.support.live import CALLER, METHODS, PURPOSE, Provider, home_of, make_live, providing, wait_until
from tests.support.live_judge import judge_journal, judge_ledger
from tests.support.live_load import Load

BROKER_RECORD = "broker-gov.ndc.broker-1"
SEED = 20261122
ASK = '{"code": {"codeListVersion": "gso-2025-07", "code": "01"}}'


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """An instance that is up, with records of what goes on without its supervisor."""
    found = make_live(tmp_path_factory.mktemp("away") / "a state")
    commands = Commands(found.state)
    commands.run("up")
    yield found
    commands.run("down", status=None)


@pytest.fixture(scope="module")
def provider(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with providing(layout, tmp_path_factory.mktemp("provider") / "effects") as found:
        yield found


def engines(layout: Layout) -> dict[str, int]:
    return Records(layout.engines).pids()


def load_of(layout: Layout) -> Load:
    return Load(load_client_config(home_of(layout, CALLER) / "config.yaml"))


def kill(pid: int | None) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid or 0, signal.SIGKILL)


def kill_both(layout: Layout) -> None:
    """Guardian first: the supervisor has no time to put another in its place."""
    for pid in (guardian_pid(layout), supervisor_pid(layout)):
        assert pid is not None
        kill(pid)
    wait_until(lambda: (guardian_pid(layout), supervisor_pid(layout)) == (None, None))


def wait_whole(layout: Layout) -> None:
    wait_until(lambda: Commands(layout.state).json("status", status=None)["up"], 120)


def all_gone(pids: dict[str, int]) -> bool:
    return not [name for name, pid in pids.items() if is_alive(pid)]


def kill_supervisor(layout: Layout) -> None:
    """And wait until the guardian has started another one."""
    killed = supervisor_pid(layout)
    kill(killed)
    wait_until(lambda: supervisor_pid(layout) not in (None, killed))


def kill_broker(layout: Layout) -> None:
    """And wait until another one is written down, and not ready yet."""
    former = engines(layout)[BROKER_RECORD]
    kill(former)
    wait_until(lambda: engines(layout).get(BROKER_RECORD) not in (None, former))


@pytest.mark.parametrize("kills", [2, pytest.param(5, marks=pytest.mark.soak)])
def test_no_call_fails_while_the_supervisor_is_killed_again_and_again(
    layout: Layout, provider: Provider, kills: int
) -> None:
    source, before = random.Random(SEED), engines(layout)
    assert set(before) == {BROKER_RECORD, "postgres"}
    with load_of(layout) as load:
        load.goes_on()
        for _ in range(kills):
            kill_supervisor(layout)
            load.goes_on(source.randrange(1, 60))  # as long as that takes: at any moment of its start
        wait_whole(layout)
        load.goes_on()
    assert load.failed == []
    assert engines(layout) == before
    load.judge_effects(provider)


def test_without_supervisor_and_guardian_calls_go_on_status_says_so_and_up_finds_them(
    layout: Layout, provider: Provider, tmp_path: Path
) -> None:
    commands, before = Commands(layout.state), engines(layout)
    with load_of(layout) as load:
        load.goes_on()
        kill_both(layout)
        load.goes_on()
        parts = {one["part"]: one for one in commands.json("status", status=1)["parts"]}
        assert parts["supervisor"]["state"] == "down"
        assert "start it: govbus up" in parts["supervisor"]["next"]
        assert "2 processes go on without it" in parts["supervisor"]["next"]
        assert (parts["broker"]["state"], parts["broker"]["facts"]["pid"]) == ("stale", before[BROKER_RECORD])
        assert "nobody looks after it" in parts["broker"]["next"]
        assert commands.run("status", "--serving").status == 0
        (tmp_path / "contract").write_bytes(contract_image([administrative_pb2.DESCRIPTOR]))
        asked = ("--descriptor-set", tmp_path / "contract", "--home", home_of(layout, CALLER), "--purpose", PURPOSE)
        commands.run("call", *asked, METHODS[0][1:], ASK, "--evidence", tmp_path / "bundle")
        commands.run("verify", tmp_path / "bundle", "--policy-key", layout.policy_key)
        found = commands.json("doctor", status=None)["findings"]
        assert any("go on without a supervisor" in one["found"] for one in found)
        stranger = layout.broker_home("gov/ndc/broker-9")
        stranger.mkdir(mode=0o700)
        FileSigner.load_or_create(stranger / "signing-key.pem")
        assert "is not one of gov/ndc/broker-9" in commands.refused("up")
        assert engines(layout) == before, "a start that failed ended what it found"
        load.goes_on()
        shutil.rmtree(stranger)
        commands.run("up")
        load.goes_on()
        load.stop()
    assert load.failed == []
    assert engines(layout) == before
    load.judge_effects(provider)


@pytest.mark.soak
def test_broker_that_was_just_started_when_the_supervisor_was_killed_is_found_or_replaced(
    layout: Layout, provider: Provider
) -> None:
    source = random.Random(SEED)
    with load_of(layout) as load:
        for _ in range(2):
            kill_broker(layout)
            time.sleep(source.uniform(0, 0.3))
            kill(supervisor_pid(layout))
            wait_whole(layout)
        load.goes_on()
    assert load.failed == []
    load.judge_effects(provider)


def test_down_ends_what_a_killed_supervisor_left_and_all_that_was_told_is_whole(
    layout: Layout, provider: Provider
) -> None:
    commands, left = Commands(layout.state), engines(layout)
    with load_of(layout) as load:
        load.goes_on()
        kill_both(layout)
        load.goes_on()
        load.stop()
    assert load.failed == []
    assert commands.json("down")["was_running"] is True
    assert all_gone(left)
    assert engines(layout) == {}
    assert commands.json("down")["was_running"] is False
    commands.run("up")
    wait_until(lambda: (ask(layout.ledger_writer) or {}).get("behind") == 0)
    assert set(engines(layout).values()).isdisjoint(left.values())
    commands.run("down")
    load.judge_effects(provider)
    assert judge_journal(layout, load) >= len(load.answered)
    assert judge_ledger(layout, ()) > 0


@pytest.mark.soak  # `down` before it took the same way
def test_wipe_ends_what_a_killed_supervisor_left(layout: Layout) -> None:
    commands = Commands(layout.state)
    commands.run("up")
    left = engines(layout)
    kill_both(layout)
    commands.run("down", "--wipe", "--yes")
    assert all_gone(left)
    assert not layout.state.exists()
