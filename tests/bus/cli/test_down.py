"""`govbus down --wipe` without an instance that runs: again, after being killed, and never on what is no instance.

And an ending that is waited for no longer.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bus.up.control import Control
from bus.up.layout import Layout
from bus.up.process import instance_lock
from bus.up.report_parts import ENDING
from tests.bus.cli.conftest import COMMAND, Commands

_SLOW = """
import pathlib, signal, sys
from bus.up.layout import Layout
from bus.up.process import instance_lock
signal.signal(signal.SIGTERM, lambda *_: None)
with instance_lock(Layout(pathlib.Path(sys.argv[1]))):
    print("there", flush=True)
    sys.stdin.read()
"""
"""A supervisor's lock, and no hurry to end."""


@pytest.fixture
def settled(tmp_path: Path) -> Commands:
    """An instance that never ran, with some files."""
    commands = Commands(tmp_path / "s t")
    Layout(commands.state).settle(None)
    (commands.state / "ledger").mkdir(mode=0o700)
    (commands.state / "ledger" / "entries").write_bytes(b"12345")
    (commands.state / "elsewhere").symlink_to(tmp_path)
    return commands


def test_wipe_says_what_it_removed_and_may_be_given_again(settled: Commands, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    size = (settled.state / "instance.json").stat().st_size + 5
    found = settled.json("down", "--wipe", "--yes")
    assert found["was_running"] is False
    assert found["removed"]["files"] >= 3
    assert found["removed"]["bytes"] >= size
    assert not settled.state.exists()
    assert (tmp_path / "mine").exists()
    assert settled.json("down", "--wipe", "--yes")["removed"] is None
    assert "there is nothing at" in settled.run("down", "--wipe", "--yes").stdout


def test_wipe_that_was_killed_is_finished_by_the_next(settled: Commands) -> None:
    (settled.state / "instance.json").rename(settled.state / ".wiped")
    said = settled.refused("down")
    assert "no instance" in said
    assert "govbus up" not in said  # who wants to end one does not start one there
    settled.run("down", "--wipe", "--yes")
    assert not settled.state.exists()


def test_start_that_was_killed_before_it_had_a_name_is_wiped(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "state")
    (commands.state / "supervisor").mkdir(parents=True, mode=0o700)
    commands.state.chmod(0o700)
    (commands.state / "supervisor" / "supervisor.log").touch()
    commands.run("down", "--wipe", "--yes")
    assert not commands.state.exists()


@pytest.mark.parametrize("names", [[], ["photo.jpg"], ["supervisor", "photo.jpg"], ["nation"]])
def test_directory_that_is_no_instance_is_left_alone(tmp_path: Path, names: list[str]) -> None:
    commands = Commands(tmp_path / "state")
    commands.state.mkdir()
    for name in names:
        (commands.state / name).mkdir()
    assert "no instance" in commands.refused("down", "--wipe", "--yes")
    assert sorted(path.name for path in commands.state.iterdir()) == sorted(names)


def test_wipe_without_a_terminal_does_nothing_unasked(settled: Commands) -> None:
    assert "nothing was done" in settled.refused("down", "--wipe")
    assert (settled.state / "instance.json").exists()


def test_files_of_other_programs_with_our_names_are_left_alone(tmp_path: Path) -> None:
    commands = Commands(tmp_path / "game")
    (commands.state / "saves").mkdir(parents=True)
    (commands.state / "instance.json").write_text('{"name": "of a game"}')
    commands.refused("down", "--wipe", "--yes")
    assert (commands.state / "saves").exists()
    commands = Commands(tmp_path / "configuration")
    (commands.state / "supervisor").mkdir(parents=True, mode=0o700)
    (commands.state / "supervisor" / "conf.d").mkdir()
    assert "no instance" in commands.refused("down", "--wipe", "--yes")
    assert (commands.state / "supervisor" / "conf.d").exists()


def test_link_to_an_instance_is_not_followed(settled: Commands, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(settled.state)
    assert "symbolic link" in Commands(tmp_path / "link").refused("down", "--wipe", "--yes")
    assert (settled.state / "ledger" / "entries").exists()


def test_nothing_that_a_subsystem_left_in_its_home_leads_the_wipe_elsewhere(settled: Commands, tmp_path: Path) -> None:
    (tmp_path / "govbus-backups").mkdir()
    for name in ("gov.a.liar", "gov.b.holder"):
        (settled.state / "subsystems" / name).mkdir(parents=True)
    (settled.state / "subsystems" / "gov.a.liar" / "run-directory").write_bytes(
        os.fsencode(tmp_path / "govbus-backups")
    )
    os.mkfifo(settled.state / "subsystems" / "gov.b.holder" / "run-directory")  # whoever reads it waits for ever
    settled.run("down", "--wipe", "--yes")
    assert not settled.state.exists()
    assert (tmp_path / "govbus-backups").exists()


def test_interrupted_it_says_that_the_ending_goes_on(settled: Commands) -> None:
    slow = [sys.executable, "-c", _SLOW, str(settled.state)]
    with subprocess.Popen(slow, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"there\n"
        wanted = Layout(settled.state).wanted
        wanted.touch()
        down = [*COMMAND, "down", "--state", str(settled.state), "--wipe", "--yes"]
        with subprocess.Popen(down, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
            end = time.monotonic() + 60
            while wanted.exists() and time.monotonic() < end:
                time.sleep(0.02)
            waiting.send_signal(signal.SIGINT)
            told, said = waiting.communicate(timeout=60)
        assert holder.stdin is not None
        holder.stdin.close()
    assert (waiting.returncode, told) == (130, "")
    assert f"goes on ending by itself; see govbus status --state '{settled.state}'" in said
    assert said.endswith("; nothing is deleted\n")
    assert (settled.state / "instance.json").exists()


def test_status_meanwhile_says_that_it_is_being_ended(settled: Commands) -> None:
    layout = Layout(settled.state)
    with instance_lock(layout), Control(layout.supervisor, lambda: {"phase": ENDING}):
        told = settled.run("status", status=1).stdout
        (supervisor,) = (one for one in settled.json("status", status=1)["parts"] if one["part"] == "supervisor")
    assert told.startswith("bus.gov.example: it is being ended, ")
    assert (supervisor["facts"]["phase"], supervisor["state"]) == (ENDING, "starting")
    assert "govbus down waits for that" in supervisor["next"]
