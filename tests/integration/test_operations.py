"""docs/operations.md is true: its commands run as they stand there, one after the other, and every command is in it.

What it says of a nation, an instance of its own, runs beside the rest: most of either is waiting.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.main import get_command

from bus.cli.main import app
from tests.bus.cli.test_json import names, row

TOP = Path(__file__).resolve().parents[2]
TEXT = (TOP / "docs" / "operations.md").read_text("utf-8")
NATION = "\n## A nation to try things on\n"
ELSEWHERE = {"demo", "snapshot", "instance", "broker"}
"""Commands that need no running instance; README.md tells of them."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home directory with nothing in it; whatever still runs there at the end is ended."""
    yield tmp_path
    govbus = Path(sys.executable).with_name("govbus")
    for state in (tmp_path / ".local" / "state" / "govbus", tmp_path / "nation"):
        if state.exists():
            command = [str(govbus), "down", "--state", str(state)]
            subprocess.run(command, env=environment(tmp_path), capture_output=True, timeout=120, check=False)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOVBUS", "XDG_"))}
    return kept | {"HOME": str(home), "GOVBUS": str(TOP), "LC_ALL": "C.UTF-8"}


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def said_by(commands: list[str], home: Path) -> str:
    """What the commands print; all of them succeed."""
    script = "\n".join(["set -euo pipefail", "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR", *commands])
    ran = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return ran.stdout


def of_the_nation(first: str, rest: list[str], home: Path) -> str:
    """What is said of it, and what a start says to try next, given as it was printed."""
    said = said_by([first, rest[0]], home)
    printed = re.findall(r"^  (govbus .*)$", said.partition("try next:\n")[2].partition("\n\n")[0], re.MULTILINE)
    assert [line.split()[1] for line in printed[:4]] == ["birth", "explain", "call", "status"]
    return said + said_by([first, *printed[:4], "govbus birth --json --state nation > birth.json", *rest[1:]], home)


def test_commands_do_what_the_text_says(home: Path) -> None:
    first, *rest = blocks(TEXT.partition(NATION)[0])
    with ThreadPoolExecutor(2) as pool:
        instance = pool.submit(said_by, [first, *rest], home)
        nation = pool.submit(of_the_nation, first, blocks(TEXT.partition(NATION)[2]), home)
    assert instance.result().count("in force with policy version") >= 18
    assert "nation: 9 of 9 members serve, 500 people" in nation.result()
    assert names(json.loads((home / "birth.json").read_text())) - row("birth") == set()
    assert not (home / ".local" / "state" / "govbus").exists()
    assert not (home / "nation").exists()
    assert (home / "backup.tar.gz").stat().st_size > 100_000


def test_every_command_is_told_of() -> None:
    found = {name: later.real for name, later in get_command(app).commands.items()}  # type: ignore[attr-defined]
    words = [
        f"{name} {each}" if hasattr(group, "commands") else name
        for name, group in found.items()
        if name not in ELSEWHERE
        for each in getattr(group, "commands", {"": None})
    ]
    assert len(words) > 30
    assert [one for one in words if not re.search(rf"govbus {one}\b|`{one.split()[-1]}`", TEXT)] == []
