"""`govbus down --wipe` without an instance that runs: again, after being killed, and never on what is no instance."""

import os
from pathlib import Path

import pytest

from bus.up.layout import Layout
from tests.bus.cli.conftest import Commands


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
    assert "no instance" in settled.refused("down")
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
