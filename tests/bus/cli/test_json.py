"""What --json prints is one document, and docs/json.md names everything in it."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.bus.cli.conftest import Commands

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "json.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| (.*?) \| (.*) \|$", TEXT, re.MULTILINE))
OPEN = ("change", "calls")
"""What stands in these depends on what happened."""


def row(command: str) -> set[str]:
    """The names that the text has for a command or a part."""
    (found,) = [told for named, told in ROWS.items() if f"`{command}`" in named or named == command]
    return set(re.findall(r"`([a-z_0-9]+)`", found))


def names(document: Any) -> set[str]:
    """All names of objects in it."""
    if isinstance(document, list):
        return {name for one in document for name in names(one)}
    if isinstance(document, dict):
        return set(document) | {name for key, one in document.items() if key not in OPEN for name in names(one)}
    return set()


@pytest.mark.parametrize(
    "command",
    [
        *("doctor", "logs", "history", "member list", "subsystem list", "service list", "grant list", "key list"),
        *("cert list", "cert authorities", "ledger key", "ledger audit", "version"),
    ],
)
def test_every_name_is_told_of(instance: Commands, command: str) -> None:
    document = instance.json(*command.split(), status=None)
    assert document
    assert names(document) - row(command) == set()


def test_every_fact_of_every_part_is_told_of(instance: Commands) -> None:
    document = instance.json("status", status=None)
    for part in document.pop("parts"):
        assert names(part["facts"]) - row(part["part"]) == set(), part["part"]
        assert set(part) - row("status") == set()
    assert set(document) - row("status") == set()
