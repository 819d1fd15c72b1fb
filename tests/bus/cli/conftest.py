"""One running instance for every test of the commands that work on one; started and ended as an operator does it."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bus.cli.main import app

COMMAND = [sys.executable, "-c", "from bus.cli import main; main()"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Commands:
    """`govbus`, given for one state directory."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"GOVBUS_STATE": str(self.state)}

    def run(self, *arguments: object, status: int | None = 0) -> Done:
        """In this process, for speed: what runs in the background is a process of its own anyway."""
        done = CliRunner().invoke(
            app, list(map(str, arguments)), env={"GOVBUS_STATE": str(self.state), "COLUMNS": "200"}
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert status is None or done.exit_code == status, (arguments, done.exit_code, done.stdout, done.stderr)
        return Done(done.exit_code, done.stdout, done.stderr)

    def json(self, *arguments: object, status: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status).stdout)

    def refused(self, *arguments: object) -> str:
        """The one line that says why; nothing on stdout, no traceback."""
        done = self.run(*arguments, status=2)
        assert done.stdout == ""
        line = done.stderr.splitlines()[-1]
        assert line.startswith("govbus: "), done.stderr
        assert "Traceback" not in done.stderr
        return line

    def part(self, name: str) -> dict[str, Any]:
        """One part of the status."""
        found = self.json("status", status=None)
        (part,) = [one for one in found["parts"] if one["part"] == name]
        return dict(part)


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("an instance") / "state")
    commands.run("up", "--trust-domain", "bus.test.example")
    yield commands
    commands.run("down", "--wipe", "--yes")
