"""A gate key goes to one reader, is on no disk, and is never written to what is not the keeper's own pipe."""

import os
import stat
from pathlib import Path

import pytest

from bus.engines.key_pipe import KeyPipe
from bus.engines.supervisor import EngineError

KEY = b"a secret of one start"


def reader(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def test_each_reader_gets_a_secret_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "gate-key"
    pipe = KeyPipe(path)
    assert not pipe.asked()
    for secret in (KEY, KEY[::-1]):
        waiting = reader(path)
        assert pipe.asked()
        assert pipe.give(secret)
        assert (os.read(waiting, 100), os.read(waiting, 100)) == (secret, b"")
        assert not pipe.asked()
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_two_readers_of_one_moment_share_nothing(tmp_path: Path) -> None:
    pipe = KeyPipe(tmp_path / "gate-key")
    both = [reader(tmp_path / "gate-key") for _ in range(2)]
    assert pipe.asked()
    assert pipe.give(KEY)
    assert sorted(os.read(one, 100) for one in both) == [b"", KEY]
    assert not pipe.asked()


def test_reader_that_went_away_leaves_nothing_behind_for_the_next(tmp_path: Path) -> None:
    pipe = KeyPipe(tmp_path / "gate-key")
    first = reader(tmp_path / "gate-key")
    assert pipe.asked()
    os.close(first)
    assert not pipe.asked()
    gone = reader(tmp_path / "gate-key")
    assert pipe.asked()
    os.close(gone)
    assert not pipe.give(KEY)
    second = reader(tmp_path / "gate-key")
    assert pipe.asked()
    pipe.refuse()
    assert os.read(second, 100) == b""


def test_whoever_waited_for_a_former_keeper_is_served_by_the_next(tmp_path: Path) -> None:
    KeyPipe(tmp_path / "gate-key")
    waiting = reader(tmp_path / "gate-key")
    pipe = KeyPipe(tmp_path / "gate-key")
    assert pipe.asked()
    assert pipe.give(KEY)
    assert os.read(waiting, 100) == KEY


@pytest.mark.parametrize("planted", ["file", "link", "open pipe", "directory"])
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_what_lies_in_the_place_of_the_pipe_is_never_written_to(tmp_path: Path, planted: str, when: str) -> None:
    path, victim = tmp_path / "gate-key", tmp_path / "victim"
    victim.write_bytes(b"as it was")
    pipe = KeyPipe(path) if when == "meanwhile" else None
    path.unlink(missing_ok=True)
    if planted == "file":
        path.write_bytes(b"as it was")
    elif planted == "link":
        path.symlink_to(victim)
    elif planted == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
        path.chmod(0o622)
        reader(path)
    with pytest.raises(EngineError, match="remove it"):
        (pipe or KeyPipe(path)).asked()
    assert victim.read_bytes() == b"as it was"
    assert planted != "file" or path.read_bytes() == b"as it was"
