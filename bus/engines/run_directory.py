"""A short private directory for unix sockets (Envoy refuses paths over 107 bytes), found again after a crash.

The state directory may lie anywhere and be long; sockets live in a fresh 0700 directory under the system's temporary
directory. Its name is kept in the state directory, so that the next start clears away what a killed process left, or
goes on in it.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from pki.files import write_atomic

__all__ = ["find_run_directory", "make_run_directory", "remove_run_directory"]

_PREFIX = "govbus-"
_LONGEST = 60


def make_run_directory(state: Path) -> Path:
    """A fresh directory for this run; that of an earlier run is removed first. One caller per state directory."""
    remove_run_directory(state)
    parent = tempfile.gettempdir()
    fits = len(os.fsencode(parent)) <= _LONGEST and "," not in parent  # PostgreSQL and libpq read a list there
    made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent if fits else "/tmp"))  # noqa: S108 (mkdtemp is private)
    write_atomic(state / "run-directory", os.fsencode(made))
    return made


def find_run_directory(state: Path) -> Path | None:
    """The directory that make_run_directory last made for `state`, if it is there and ours."""
    with contextlib.suppress(FileNotFoundError):
        directory = Path(os.fsdecode((state / "run-directory").read_bytes()))
        found = directory.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and directory.name.startswith(_PREFIX):
            return directory
    return None


def remove_run_directory(state: Path) -> None:
    """Remove the directory that would be found."""
    if (directory := find_run_directory(state)) is not None:
        shutil.rmtree(directory, ignore_errors=True)
    (state / "run-directory").unlink(missing_ok=True)
