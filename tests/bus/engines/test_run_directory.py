"""Where sockets lie: short, private, and under a name that nobody reads as a list."""

import os
import tempfile
from pathlib import Path

import pytest

from bus.engines.run_directory import make_run_directory, remove_run_directory


@pytest.mark.parametrize("name", ["one, two", "long" * 20], ids=["comma", "long"])
def test_temporary_directory_that_no_socket_may_lie_in_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    parent = tmp_path / name
    parent.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(parent))
    made = make_run_directory(tmp_path)
    try:
        assert made.parent == Path("/tmp")  # noqa: S108
        assert made.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(made)) < 60
    finally:
        remove_run_directory(tmp_path)
    assert not made.exists()
