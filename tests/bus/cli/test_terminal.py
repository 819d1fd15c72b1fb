"""Tables on a real terminal: none is wider than it, unless one name is, and states are in colour for who wants it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

import pytest

from tests.bus.cli.conftest import COMMAND, Commands

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(commands: Commands, columns: int, *arguments: str, **environment: str) -> list[str]:
    """The lines that a terminal of so many columns gets."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    kept = {name: value for name, value in commands.environment.items() if name not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=kept | {"TERM": "xterm"} | environment,
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # EIO: its last writer has gone
                break
            if not read:
                break
            said += read
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    os.close(ours)
    assert "Traceback" not in errors
    return said.decode().replace("\r", "").splitlines()


@pytest.mark.parametrize("command", ["status", "grant list --all", "subsystem list", "history", "key list", "doctor"])
def test_no_line_is_wider_than_the_terminal_but_for_a_name_that_is(instance: Commands, command: str) -> None:
    lines = [COLOUR.sub("", line) for line in on_terminal(instance, 80, *command.split())]
    assert len(lines) > 2
    assert [line for line in lines if len(line) > 80 and len(line.split()) > 1] == []
    assert [line for line in lines if line != line.rstrip()] == []
    path = str(instance.state)
    assert command != "status" or any(path in line for line in lines)  # not broken


def test_colours_are_for_those_who_want_them(instance: Commands) -> None:
    assert any("\x1b[" in line for line in on_terminal(instance, 100, "status"))
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert not any("\x1b" in line for line in on_terminal(instance, 100, "status", **environment))
    assert "\x1b" not in instance.run("status", status=None).stdout
