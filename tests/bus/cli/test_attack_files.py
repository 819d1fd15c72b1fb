"""Files that somebody sends: of any length, and read no further than one of its kind may be long."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bus.cli.main import app
from bus.evidence.bundle import MAX_BYTES
from bus.registry.contract_set import LARGEST_BYTES

TERABYTE = 1 << 40


@pytest.mark.parametrize(
    ("command", "most"), [(["verify", "--json"], MAX_BYTES), (["contract", "check", "--against", "b"], LARGEST_BYTES)]
)
def test_file_of_a_terabyte_is_refused(
    command: list[str], most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        with Path(name).open("xb") as file:
            file.truncate(TERABYTE)
    assert most < TERABYTE
    done = CliRunner().invoke(app, [*command, "a"])
    assert (done.exit_code in (1, 2), type(done.exception)) == (True, SystemExit), done.output
