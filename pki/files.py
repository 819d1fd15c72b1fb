"""Files that must survive a crash and stay private: the one definition used everywhere.

1. A file appears whole or not at all: written beside its place, fsynced, renamed (or
   linked, when it must not replace another), then its directory is fsynced.
2. A private file is 0600 (or 0400) in a directory of our own, 0700; a reader refuses
   anything wider, and a symbolic link, instead of repairing it: whoever could read the key
   may have read it, and that is for a person to judge.
3. The permission bits and the bytes come from the same open descriptor.
"""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

__all__ = [
    "FilePermissionError",
    "create_atomic",
    "ensure_private_directory",
    "publish_directory",
    "read_private",
    "replace_file",
    "replace_link",
    "replace_unflushed",
    "write_atomic",
]

_PIECE = 1 << 20
PRIVATE = 0o600
PUBLIC = 0o644


class FilePermissionError(PermissionError):
    """A private file or directory that others can reach; the text says what to do."""


def write_atomic(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Put `data` at `path`, replacing what is there; durable when this returns."""
    temporary = _write_beside(path, data, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _fsync_directory(path.parent)


def create_atomic(path: Path, data: bytes, *, mode: int = PRIVATE) -> None:
    """Put `data` at `path`; FileExistsError if something is there, which then stays."""
    temporary = _write_beside(path, data, mode)
    try:
        os.link(temporary, path)
    finally:
        temporary.unlink()
    _fsync_directory(path.parent)


def ensure_private_directory(path: Path) -> Path:
    """Make `path` a 0700 directory (missing parents as umask says); refuse one that others can enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise FilePermissionError(f"{path} is not a directory; move it away")
    _refuse_shared(path, found, "700")
    return path


def publish_directory(target: Path, fill: Callable[[Path], None]) -> bool:
    """Let `fill` write a private directory, then make it `target` in one step.

    Returns False, and leaves the existing one alone, when `target` is already there with
    content: of two processes that start at once, one wins and both use its files.
    """
    staging = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    staging.mkdir(mode=0o700)
    try:
        fill(staging)
        _fsync_directory(staging)
        staging.rename(target)
    except OSError:
        _remove_flat(staging)
        if target.is_dir() and any(target.iterdir()):
            return False
        raise
    except BaseException:
        _remove_flat(staging)
        raise
    _fsync_directory(target.parent)
    return True


def replace_file(source: Path, target: Path) -> None:
    """Make `source`, a file that is on the disk already, `target` in one step; both in one directory."""
    source.replace(target)
    _fsync_directory(target.parent)


def replace_link(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`, replacing the former link in one step."""
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(8)}")
    temporary.symlink_to(target)
    temporary.replace(link)
    _fsync_directory(link.parent)


def read_private(path: Path, *, limit: int = 64 * 1024) -> bytes:
    """Read a small private file; FilePermissionError if anyone but its owner could."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if path.is_symlink():
            raise FilePermissionError(f"{path} is a symbolic link; put the key file itself there") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise FilePermissionError(f"{path} is not a regular file")
        _refuse_shared(path, found, "600")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path} is longer than {limit} bytes: not a file of ours")
    return data


def replace_unflushed(path: Path, data: bytes) -> None:
    """Put `data` at `path` by rename, private; a power cut may lose or tear it. For what every start makes anew."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _write_pieces(file, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_pieces(file: IO[bytes], data: bytes) -> None:
    """Write all of `data`. Of one write of many megabytes the kernel makes ten times the work (Linux 6.18, ext4)."""
    view = memoryview(data)
    for at in range(0, len(view), _PIECE):
        piece = view[at : at + _PIECE]
        while piece:
            piece = piece[file.write(piece) :]


def _refuse_shared(path: Path, found: os.stat_result, wanted: str) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise FilePermissionError(f"{path} belongs to user id {found.st_uid}; start as that user, or chown it")
    if found.st_mode & 0o077:
        raise FilePermissionError(
            f"{path} is open to group or others (mode {stat.S_IMODE(found.st_mode):o}):"
            f" run 'chmod {wanted} {path}', and if strangers could have read it,"
            " replace the keys in it"
        )


def _write_beside(path: Path, data: bytes, mode: int) -> Path:
    """Write and fsync a temporary file in the directory of `path`; return its path."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            _write_pieces(file, data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _remove_flat(directory: Path) -> None:
    with suppress(FileNotFoundError):
        for entry in directory.iterdir():
            entry.unlink()
        directory.rmdir()


def _fsync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
