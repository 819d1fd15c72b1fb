"""What a nation was made with stays."""

from pathlib import Path

import pytest

from bus.engines.supervisor import EngineError
from bus.nation.settled import DEFAULT_PEOPLE, Settled, settle, settled
from bus.up.layout import Layout


def layout(folder: Path) -> Layout:
    folder.chmod(0o700)
    return Layout(folder)


def test_instance_without_a_nation_stays_so_until_one_is_wanted(tmp_path: Path) -> None:
    where = layout(tmp_path)
    assert settle(where, wanted=False, people=None) is None
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(EngineError, match="--nation"):
        settle(where, wanted=False, people=500)
    assert settle(where, wanted=True, people=None) == Settled(DEFAULT_PEOPLE)
    assert settle(where, wanted=False, people=None) == Settled(DEFAULT_PEOPLE)


def test_another_number_of_people_is_refused(tmp_path: Path) -> None:
    where = layout(tmp_path)
    settle(where, wanted=True, people=500)
    with pytest.raises(EngineError, match="500 people for ever"):
        settle(where, wanted=True, people=501)
    assert settle(where, wanted=True, people=500) == settled(where) == Settled(500)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"people": "many"}', b'{"people": null}'])
def test_damaged_memory_is_said_not_replaced(tmp_path: Path, content: bytes) -> None:
    where = layout(tmp_path)
    settle(where, wanted=True, people=500)
    (tmp_path / "nation" / "nation.json").write_bytes(content)
    with pytest.raises(EngineError, match="restore it"):
        settle(where, wanted=True, people=None)
    assert (tmp_path / "nation" / "nation.json").read_bytes() == content
