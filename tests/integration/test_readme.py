"""README.md is true: its example runs as it stands there, with the commands that it gives."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.integration.conftest import Demonstration

TOP = Path(__file__).resolve().parents[2]
README = (TOP / "README.md").read_text("utf-8")
GOVBUS = [sys.executable, "-c", "from bus.cli import main; main()"]


def blocks(language: str) -> list[str]:
    """The fenced blocks that begin at the margin."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for marked, text in found if marked == language]


def commands() -> list[list[str]]:
    """Every line of the blocks that a shell would be given."""
    return [shlex.split(line) for block in blocks("") for line in block.splitlines() if line.strip()]


def test_example_runs_on_the_instance_that_the_readme_starts(demonstration: Demonstration) -> None:
    folder = demonstration.folder
    (folder / "example.py").write_text(blocks("python")[0], "utf-8")
    up, down = (next(one for one in commands() if one[1:2] == [word]) for word in ("up", "down"))
    started = subprocess.run([*GOVBUS, *up[1:]], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert started.returncode == 0, started.stderr
    try:
        ran = subprocess.run(
            [sys.executable, "example.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        subprocess.run([*GOVBUS, *down[1:]], cwd=folder, capture_output=True, timeout=120, check=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "asked by spiffe://bus.demo.example/gov/moj/portal for civil.birth\nExample\n"


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text("utf-8"), re.MULTILINE))
    found = [command for command in commands() if command[0] == "make"]
    assert {command[1] for command in found} == {"demo", "test"} <= targets
    helped = {command[1] for command in commands() if "govbus" in command[0]}
    for word in helped:
        ran = subprocess.run([*GOVBUS, word, "--help"], capture_output=True, timeout=60, check=False)
        assert ran.returncode == 0, word


def test_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)", README) + re.findall(r"`((?:protos|adapters)/[\w./]*)`", README)
    assert [name for name in named if not (TOP / name).exists()] == []
