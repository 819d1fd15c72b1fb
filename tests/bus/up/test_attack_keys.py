"""A directory that was restored without its keys is not founded a second time: every member pins the first ones."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.engines.supervisor import EngineError
from bus.up.found import make_keys
from bus.up.layout import Facts, Layout
from pki.files import ensure_private_directory, write_atomic


@pytest.mark.parametrize("lost", ["authority", "authority/issuing-key.pem", "policy-signing-key.pem"])
def test_lost_key_of_an_instance_that_published_is_not_replaced(tmp_path: Path, lost: str) -> None:
    layout = Layout(tmp_path / "a state")
    make_keys(layout, Facts(), now=datetime.now(UTC))
    write_atomic(ensure_private_directory(layout.state / "snapshots") / "published.json", b"{}")
    make_keys(layout, Facts(), now=datetime.now(UTC))
    path = layout.state / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(EngineError, match="backup"):
        make_keys(layout, Facts(), now=datetime.now(UTC))
    assert not path.exists()


def test_root_key_in_a_safe_is_not_missed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a state")
    make_keys(layout, Facts(), now=datetime.now(UTC))
    write_atomic(ensure_private_directory(layout.state / "snapshots") / "published.json", b"{}")
    (layout.state / "authority" / "root-key.pem").unlink()
    make_keys(layout, Facts(), now=datetime.now(UTC))
