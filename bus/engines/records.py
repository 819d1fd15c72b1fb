"""What is written down of each engine that goes on without its supervisor, so that the next one finds it again.

One file an engine in a private directory, written by the engine's own process before it is the engine (hold.py).
`find` believes none of it: it gives a process only where the machine is the same since, the process has started when
the file says, and it has not ended. The descriptor is opened first and compared afterwards, so that it is of that very
process whoever gets its number later.
"""

import contextlib
import json
import os
import select
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pki.files import ensure_private_directory

__all__ = ["Keep", "Living", "Record", "Records"]

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_SUFFIX: Final = ".json"


@dataclass(frozen=True, slots=True)
class Living:
    """A process that lives and is the one that was written down. Whoever is done with it closes `pidfd`."""

    name: str
    pid: int
    pidfd: int
    began: float
    """By CLOCK_BOOTTIME, in seconds."""
    mark: str
    """As what it was started; empty when it was told to end."""
    ready: bool
    said: str
    """When it got ready."""


@dataclass(frozen=True, slots=True)
class Record:
    """One engine's file."""

    path: Path
    name: str

    def find(self) -> Living | None:
        """The engine, if it lives."""
        known = self._read()
        try:
            pid, started = int(known["pid"]), int(known["started"])
            found = str(known["mark"]), known["ready"] is True, str(known["said"])
            if known["boot"] != _BOOT.read_text("ascii").strip():
                return None
            pidfd = os.pidfd_open(pid)
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            return None
        if _started(pid) != started or select.select([pidfd], [], [], 0)[0]:
            os.close(pidfd)
            return None
        return Living(self.name, pid, pidfd, started / os.sysconf("SC_CLK_TCK"), *found)

    def lives(self) -> bool:
        """Whether it would be found."""
        found = self.find()
        if found is not None:
            os.close(found.pidfd)
        return found is not None

    def note_ready(self, pid: int, said: str) -> bool:
        """Until now it was only begun; False where nothing is written down of it."""
        return self._note(pid, ready=True, said=said)

    def note_ending(self, pid: int) -> None:
        """It is being ended: nobody is to go on with it."""
        self._note(pid, mark="")

    def remove(self) -> None:
        """It has ended."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _note(self, pid: int, **news: Any) -> bool:
        known = self._read()
        if known.get("pid") != pid:
            return False
        written = self.path.with_name(f"{self.path.name}.noted")
        try:
            written.write_text(json.dumps(known | news), "ascii")
            written.replace(self.path)
        except OSError:
            return False
        return True

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}


class Records:
    """All of one supervisor."""

    def __init__(self, directory: Path) -> None:
        """Nothing is made or read yet."""
        self._directory = directory
        self.leave_found = False
        """A start that failed ends what it began itself, and nothing that it found."""

    def of(self, name: str) -> Record:
        """One engine's; the directory is made."""
        directory = ensure_private_directory(self._directory)
        return Record(directory / f"{name}{_SUFFIX}", name)

    def living(self) -> Iterator[Living]:
        """Whoever lives now, by name."""
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            if (found := Record(path, path.name.removesuffix(_SUFFIX)).find()) is not None:
                yield found

    def pids(self, *, ready: bool = False) -> dict[str, int]:
        """Name and process of whoever lives now; `ready`: and got ready, and is not being ended."""
        found = list(self.living())
        for one in found:
            os.close(one.pidfd)
        return {one.name: one.pid for one in found if not ready or (one.ready and one.mark)}


@dataclass(frozen=True, slots=True)
class Keep:
    """For one supervisor: its engine goes on without it, and is gone on with by the next one."""

    records: Records
    record: Record
    """Its file among them."""
    mark: Callable[[], str]
    """As what it would be started now: an engine with another mark is replaced. May raise while that is not known."""
    say: Callable[[], str] = str
    """What is to be remembered of a ready engine."""
    recall: Callable[[str], None] = lambda said: None
    """Gets that when a later supervisor goes on with it."""


def boottime() -> float:
    """The clock by which a process's start is told, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _started(pid: int) -> int | None:
    """When the process with this number started, in ticks since the machine's start (proc_pid_stat(5), field 22)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
