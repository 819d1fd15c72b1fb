"""Deleting an instance that does not run: its directory, and what its engines left elsewhere.

1. Only what is an instance: a directory with its instance.json, or one that was begun to be deleted, or one where a
   start was killed before it had a name.
2. Killed in between, it is simply given again: the mark that says so goes last.
3. What outlived a killed supervisor is ended first, and the sockets' directories go too: those that this instance
   noted. A subsystem's home is its subsystem's, and what is noted there leads nowhere.
"""

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bus.engines.postgres_leftovers import settle_leftovers
from bus.engines.run_directory import remove_run_directory
from bus.engines.supervisor import EngineError
from bus.up.layout import Layout
from bus.up.left import end_left
from bus.up.process import instance_lock

__all__ = ["Wiped", "is_wipeable", "wipe"]

_NAME: Final = "instance.json"
_MARK: Final = ".wiped"
_BEFORE_NAME: Final = {"supervisor"}
_SUPERVISORS: Final = ("lock", "guardian", "wanted", "supervisor.log", "run-directory")


@dataclass(frozen=True, slots=True)
class Wiped:
    """What was removed."""

    files: int
    bytes: int


def is_wipeable(layout: Layout) -> bool:
    """Whether it is an instance, or what is left of one (1); EngineError where that is better asked of a person."""
    if layout.state.is_symlink():
        raise EngineError(f"{layout.state} is a symbolic link; give --state the directory itself")
    if not layout.state.is_dir():
        return False
    entries = {entry.name for entry in layout.state.iterdir()}
    if entries and entries <= _BEFORE_NAME:
        held = [entry.name for entry in layout.supervisor.iterdir()]
        return bool(held) and all(name.lstrip(".").startswith(_SUPERVISORS) for name in held)
    return _MARK in entries or layout.facts() is not None  # another program's instance.json is told


def wipe(layout: Layout) -> Wiped:
    """Delete it; AlreadyRunning where it runs, OSError where something cannot be removed."""
    with instance_lock(layout):  # nobody starts it meanwhile
        end_left(layout)
        with suppress(FileNotFoundError):
            (layout.state / _NAME).rename(layout.state / _MARK)
        for data in (layout.state / "postgres" / "data", layout.state / "nation" / "postgres" / "data"):
            settle_leftovers(data)
        for note in list(layout.state.rglob("run-directory")):
            if note.relative_to(layout.state).parts[0] != "subsystems":
                remove_run_directory(note.parent)
        sizes = [path.lstat().st_size for path in layout.state.rglob("*") if path.is_symlink() or path.is_file()]
        for entry in sorted(layout.state.iterdir(), reverse=True):  # the mark last
            _remove(entry)
    layout.state.rmdir()
    return Wiped(len(sizes), sum(sizes))


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
