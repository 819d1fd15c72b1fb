"""`govbus birth` where there is nothing to be born into; births themselves: tests/integration/test_operations.py."""

from pathlib import Path

from tests.bus.cli.conftest import Commands


def test_a_birth_without_a_nation_is_one_line_that_says_how_to_get_one(instance: Commands, tmp_path: Path) -> None:
    assert "govbus up --nation" in instance.refused("birth")
    assert "no instance" in instance.refused("birth", "--state", tmp_path / "nothing")
