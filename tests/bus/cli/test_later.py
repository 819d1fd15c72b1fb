"""Only the command that is asked for is imported, and the list of commands says what each says of itself."""

import subprocess
import sys

import pytest
import typer.main

from bus.cli.later import Later
from bus.cli.main import app

COMMANDS = typer.main.get_group(app).commands
HEAVY = {"grpc", "google.protobuf", "cryptography", "psycopg", "protovalidate", "opentelemetry", "yaml", "bus.exchange"}


def imported(*arguments: str) -> set[str]:
    """What a run of the command imports."""
    program = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    done = subprocess.run(
        [sys.executable, "-c", f"{program}from bus.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 2), done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [("--help",), ("no-such-command",), ("version",)], ids=" ".join)
def test_what_the_list_answers_loads_no_command_and_nothing_heavy(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert "bus.cli.main" in found
    assert not HEAVY & found
    places = {name for name in found if name.startswith("bus.cli.")} - {
        "bus.cli.main",
        "bus.cli.later",
        "bus.cli.usage",
    }
    assert places == ({"bus.cli.version"} if arguments == ("version",) else set())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    told = COMMANDS[name]
    assert isinstance(told, Later)
    assert (told.real.name, told.real.hidden) == (name, False)
    assert told.help == " ".join((told.real.help or "").partition("\n\n")[0].split())
