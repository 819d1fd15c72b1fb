"""README.md is true: its example runs as it stands there, with the commands that it gives."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bus.demo.nation import nation
from bus.demo.world import make_world
from bus.edge.instance import Instance

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


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Where the commands are given: with the instance that `govbus demo --state nation` leaves there."""
    make_world(tmp_path / "nation")
    return tmp_path


def test_example_runs_against_the_broker_that_the_readme_starts(state: Path) -> None:
    start = next(command for command in commands() if command[1:3] == ["broker", "run"])
    assert start[-1] == "&"
    (state / "example.py").write_text(blocks("python")[0], "utf-8")
    broker = subprocess.Popen([*GOVBUS, *start[1:-1]], cwd=state, stdout=subprocess.PIPE, text=True)
    try:
        assert broker.stdout is not None
        assert broker.stdout.readline().startswith("ready: ")
        ran = subprocess.run(
            [sys.executable, "example.py"], cwd=state, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        broker.terminate()
        broker.communicate(timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")
    client = Instance.open(state / "nation" / "instance").subsystem_id("gov/moj/portal").spiffe_id
    assert ran.stdout == f"asked by {client} for civil.birth\nExample\n"


def test_commands_of_the_readme_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (TOP / "Makefile").read_text("utf-8"), re.MULTILINE))
    found = [command for command in commands() if command[0] == "make"]
    assert {command[1] for command in found} == {"demo", "test"} <= targets
    helped = [command[1:3] if command[1] != "demo" else ["demo"] for command in commands() if "govbus" in command[0]]
    for words in helped:
        ran = subprocess.run([*GOVBUS, *words, "--help"], capture_output=True, timeout=60, check=False)
        assert ran.returncode == 0, words


def test_files_that_the_readme_names_exist() -> None:
    named = re.findall(r"\]\(([\w./-]+)\)", README) + re.findall(r"`((?:protos|adapters)/[\w./]*)`", README)
    assert [name for name in named if not (TOP / name).exists()] == []
    brokers = {plan.path.replace("/", ".") for plan in nation().brokers}
    assert any(name in README for name in brokers)
