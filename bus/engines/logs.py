"""A log file that is cut over to `<name>.1`, `.2`, `.3` at 4 MiB; readable by its owner only.

1. A child writes into the file itself: there is no pipe that would need a reader, so its words go on without us.
2. So the file is copied and emptied, never renamed. KNOWN: a line that is written between the two is lost.
3. What cannot be kept on a full disk is let go of: the log stays bounded, and nobody fails for it.
What engines may print is decided by how they are started; nothing is filtered here.
"""

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

__all__ = ["RotatingLog"]

_LIMIT = 4 << 20
_KEPT = 3
_TAIL_LINES = 6


class RotatingLog:
    """Appends from any thread; one such object a file."""

    def __init__(self, path: Path, *, limit: int = _LIMIT) -> None:
        self.path = path
        self._limit = limit
        self._lock = threading.Lock()

    def open(self) -> int:
        """A descriptor that appends: for a child to write to, and for its starter to close."""
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def line(self, text: str) -> None:
        """Add a line of our own, with the time. OSError on a full disk."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        descriptor = self.open()
        try:
            os.write(descriptor, f"[{stamp}][supervisor] {text}\n".encode())
        finally:
            os.close(descriptor)
        self.cut()

    def tail(self) -> str:
        """The last lines, each on a line of its own and indented; empty when there is nothing."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                lines = file.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        except FileNotFoundError:
            return ""
        return "".join(f"\n  {line}" for line in lines)

    def cut(self) -> None:
        """Cut it over if it is too long: to be asked now and then while a child writes."""
        with self._lock, contextlib.suppress(OSError):
            if self.path.stat().st_size >= self._limit:
                self._cut()

    def _cut(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.0")
        try:
            shutil.copyfile(self.path, aside)
            aside.chmod(0o600)
        except OSError:
            aside.unlink(missing_ok=True)
        os.truncate(self.path, 0)
        if aside.exists():
            for number in range(_KEPT - 1, -1, -1):
                older = self.path.with_name(f"{self.path.name}.{number}")
                if older.exists():
                    older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
