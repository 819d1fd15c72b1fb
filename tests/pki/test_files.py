"""Files appear whole or not at all, and a private file that others can read is not read."""

import os
from pathlib import Path

import pytest

from pki import files


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_written_file_is_private_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    files.write_atomic(path, b"one")
    files.write_atomic(path, b"two")
    assert files.read_private(path) == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["key.pem"]


def test_mode_does_not_depend_on_umask(tmp_path: Path) -> None:
    before = os.umask(0o277)
    try:
        files.write_atomic(tmp_path / "public.pem", b"x", mode=files.PUBLIC)
    finally:
        os.umask(before)
    assert (tmp_path / "public.pem").stat().st_mode & 0o777 == 0o644


def test_created_file_never_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    files.create_atomic(path, b"first")
    with pytest.raises(FileExistsError):
        files.create_atomic(path, b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["key.pem"]


def test_failed_write_keeps_the_old_file_and_leaves_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    (target / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        files.write_atomic(target, b"x")
    assert names(tmp_path) == ["taken"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o777])
def test_key_file_open_to_others_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key.pem"
    files.write_atomic(path, b"secret")
    path.chmod(mode)
    with pytest.raises(files.FilePermissionError, match=f"chmod 600 {path}") as caught:
        files.read_private(path)
    assert "secret" not in str(caught.value)


def test_key_file_behind_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "elsewhere", b"secret")
    (tmp_path / "key.pem").symlink_to("elsewhere")
    with pytest.raises(files.FilePermissionError, match="symbolic link"):
        files.read_private(tmp_path / "key.pem")


def test_key_file_that_is_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key.pem", 0o600)
    with pytest.raises(files.FilePermissionError, match="regular file"):
        files.read_private(tmp_path / "key.pem")


def test_endless_file_is_not_swallowed(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "key.pem", bytes(101))
    with pytest.raises(ValueError, match="longer than 100"):
        files.read_private(tmp_path / "key.pem", limit=100)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_file_of_another_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    files.write_atomic(path, b"secret")
    os.chown(path, 65534, -1)
    with pytest.raises(files.FilePermissionError, match="user id 65534"):
        files.read_private(path)


def test_directory_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    made = files.ensure_private_directory(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o750)
    with pytest.raises(files.FilePermissionError, match="chmod 700"):
        files.ensure_private_directory(made)


def test_directory_is_published_once(tmp_path: Path) -> None:
    target = tmp_path / "authority"
    assert files.publish_directory(target, lambda d: files.write_atomic(d / "x", b"first"))
    assert not files.publish_directory(target, lambda d: files.write_atomic(d / "x", b"second"))
    assert (target / "x").read_bytes() == b"first"
    assert names(tmp_path) == ["authority"]


def test_directory_that_could_not_be_filled_does_not_appear(tmp_path: Path) -> None:
    def fill(directory: Path) -> None:
        files.write_atomic(directory / "x", b"half")
        raise RuntimeError("crash")

    with pytest.raises(RuntimeError):
        files.publish_directory(tmp_path / "authority", fill)
    assert names(tmp_path) == []


def test_link_is_replaced_in_one_step(tmp_path: Path) -> None:
    files.replace_link(tmp_path / "current", "one")
    files.replace_link(tmp_path / "current", "two")
    assert os.readlink(tmp_path / "current") == "two"
    assert names(tmp_path) == ["current"]
