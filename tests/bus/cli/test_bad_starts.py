"""A start that cannot succeed says in one line what to do, leaves nothing running and nothing in a later one's way."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.up.layout import Layout
from bus.up.process import guardian_pid, supervisor_pid
from tests.bus.cli.conftest import COMMAND, Commands
from tests.support.small_disk import fill, mount_small_disk, own_mounts


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Commands]:
    """A directory of its own, where nothing runs afterwards."""
    commands = Commands(tmp_path / "state")
    yield commands
    layout = Layout(commands.state)
    if commands.state.is_dir():
        assert (supervisor_pid(layout), guardian_pid(layout)) == (None, None)


def test_state_that_is_a_file_or_lies_below_one(fresh: Commands) -> None:
    fresh.state.write_text("a file")
    assert "name another one with --state" in fresh.refused("up")
    assert "name another one with --state" in fresh.refused("up", "--state", fresh.state / "below")
    assert fresh.state.read_text() == "a file"


def test_state_that_others_can_enter(fresh: Commands) -> None:
    fresh.state.mkdir(mode=0o755)
    said = fresh.refused("up")
    assert f"chmod 700 {fresh.state}" in said
    assert "replace the keys" not in said  # there are none
    (fresh.state / "instance.json").touch()
    assert "replace the keys" in fresh.refused("up")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_state_that_belongs_to_another(fresh: Commands) -> None:
    fresh.state.mkdir(mode=0o700)
    os.chown(fresh.state, 12345, -1)
    assert "belongs to user id 12345" in fresh.refused("up")


def test_state_on_a_full_disk(tmp_path: Path) -> None:
    with own_mounts():
        mount_small_disk(tmp_path / "disk", 2)
        fill(tmp_path / "disk")
        assert "No space left on device" in Commands(tmp_path / "disk" / "state").refused("up")


def test_state_on_a_disk_that_is_too_small(tmp_path: Path) -> None:
    with own_mounts():
        mount_small_disk(tmp_path / "disk", 100)
        assert "MiB are free" in Commands(tmp_path / "disk" / "state").refused("up")


@pytest.mark.parametrize("option", ["--listen", "--enrol-listen"])
def test_address_that_is_taken_or_not_of_this_machine(fresh: Commands, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"{option}: nobody can listen on {address} here" in fresh.refused("up", option, address)
    assert f"{option}: nobody can listen on 203.0.113.1:7443" in fresh.refused("up", option, "203.0.113.1:7443")
    assert "write an address as host:port" in fresh.refused("up", option, "7443")
    assert not fresh.state.exists()  # nothing was founded: another try may give it another name


def test_refused_first_start_leaves_what_was_there_and_nothing_else(fresh: Commands) -> None:
    (fresh.state / "mine").mkdir(parents=True)
    fresh.state.chmod(0o700)
    taken = "203.0.113.1:7443"
    fresh.refused("up", "--listen", taken)
    fresh.refused("up", "--listen", taken, "--state", fresh.state / "mine" / "of" / "its" / "own")
    assert [str(path.relative_to(fresh.state)) for path in fresh.state.rglob("*")] == ["mine"]


def test_address_of_a_database_that_is_none_is_not_remembered(fresh: Commands) -> None:
    assert "write postgresql://" in fresh.refused("up", "--database-url", "no address")
    assert not Layout(fresh.state).database_url.exists()


@pytest.mark.parametrize("mask", ["000", "777"])
def test_mask_of_the_shell_neither_opens_what_is_private_nor_shuts_its_owner_out(fresh: Commands, mask: str) -> None:
    script = f'umask {mask}; exec "$@"'
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *COMMAND, "up", "--database-url", "postgresql://127.0.0.1:1/none"],
        env=fresh.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    modes = {path.stat().st_mode & 0o722 for path in (fresh.state, *fresh.state.rglob("*")) if path.is_dir()}
    assert modes == {0o700}
