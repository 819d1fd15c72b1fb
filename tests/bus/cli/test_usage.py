"""The command line when it is given wrongly, in a pipe, or without a terminal: one line, an exit code, no traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from bus.cli.main import app
from tests.bus.cli.conftest import COMMAND

GROUPS = typer.main.get_group(app).commands


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("stauts", "did you mean 'status'?"),
        ("grant lst", "did you mean 'list'?"),
        ("status --serv", "--serving"),
        ("grant add x --client gov/a/b", "missing option '--provider'"),
        ("history --after x", "--after"),
        ("token issue", "missing argument 'subsystem'"),
        ("up --people 5", "--people"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(words: str, said: str) -> None:
    done = CliRunner().invoke(app, words.split())
    (line,) = done.stderr.splitlines()
    assert (done.exit_code, done.stdout) == (2, "")
    assert line.startswith("govbus: ")
    assert said in line
    assert " --help`" in line


def test_every_help_fits_a_terminal_and_says_what_it_does() -> None:
    def texts(command: object, words: tuple[str, ...]) -> None:
        real = getattr(command, "real", command)
        for name, each in getattr(real, "commands", {}).items():
            texts(each, (*words, name))
        done = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
        assert (done.exit_code, done.stderr) == (0, ""), words
        wide = [line for line in done.stdout.splitlines() if len(line) > 80]
        assert wide == [], words
        seen.append(words)

    seen: list[tuple[str, ...]] = []
    for name, later in GROUPS.items():
        texts(later, (name,))
    assert len(seen) > 50


def test_the_list_of_commands_has_each_once() -> None:
    lines = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).stdout.splitlines()
    assert [sum(line.split()[:1] == [name] and line.startswith("  ") for line in lines) for name in GROUPS] == [
        1
    ] * len(GROUPS)


@pytest.mark.parametrize(
    ("words", "found"), [("govbus gra", ["grant"]), ("govbus grant list --cl", ["--client"]), ("govbus nothing-", [])]
)
def test_a_shell_completes_commands_and_options(words: str, found: list[str]) -> None:
    number = str(len(words.split()) - 1)
    environment = os.environ | {"_GOVBUS_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}
    program = Path(sys.executable).with_name("govbus")
    done = subprocess.run([program], capture_output=True, text=True, check=False, timeout=60, env=environment)
    assert done.stdout.split() == found


def test_without_standard_streams_it_works_all_the_same() -> None:
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        script = f'"$0" -c "from bus.cli import main; main()" version {closed}'
        done = subprocess.run(["/bin/sh", "-c", script, sys.executable], capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr) == (0, b""), closed


def test_full_disk_behind_the_output_is_one_line() -> None:
    for command in ("version", "--help", "version --json"):
        script = f'"$0" -c "from bus.cli import main; main()" {command} > /dev/full'
        done = subprocess.run(["/bin/sh", "-c", script, sys.executable], capture_output=True, check=False)
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1), command
        assert b"no space left" in done.stderr


def test_letters_that_a_terminal_does_not_have_are_shown_by_number(tmp_path: Path) -> None:
    done = run("status", "--state", str(tmp_path / "Bộ"), PYTHONIOENCODING="latin-1")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "B\\u1ed9" in done.stderr


def test_the_version_as_json() -> None:
    assert json.loads(run("version", "--json").stdout) == {"version": run("version").stdout.strip()}
