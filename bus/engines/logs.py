"""A child's output in a file that is cut over to `<name>.1`, `.2`, `.3` at 4 MiB; readable by its owner only.

The child writes into a pipe and never waits for a disk: a thread of its own takes what comes. What engines may print
is decided by how they are started; nothing is filtered here.
"""

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import IO

__all__ = ["RotatingLog"]

_LIMIT = 4 << 20
_KEPT = 3
_TAIL_LINES = 6


class RotatingLog:
    """Appends from any thread."""

    def __init__(self, path: Path, *, limit: int = _LIMIT) -> None:
        self.path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._closed = False

    def follow(self, stream: IO[bytes]) -> None:
        """Copy `stream` until its end, on a thread that then closes it."""
        threading.Thread(target=self._copy, args=(stream,), name=f"log-{self.path.name}", daemon=True).start()

    def line(self, text: str) -> None:
        """Add a line of our own, with the time."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._write(f"[{stamp}][supervisor] {text}\n".encode())

    def tail(self) -> str:
        """The last lines, each on a line of its own and indented; empty when there is nothing."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
                lines = file.read().decode("utf-8", "replace").splitlines()[-_TAIL_LINES:]
        except FileNotFoundError:
            return ""
        return "".join(f"\n  {line}" for line in lines)

    def close(self) -> None:
        """Let go of the file; a later write, the child's last words perhaps, opens it for itself alone."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _copy(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := os.read(stream.fileno(), 65536):
                with contextlib.suppress(OSError):  # a full disk must not stop the engine
                    self._write(chunk)

    def _write(self, data: bytes) -> None:
        with self._lock:
            if self._file is None:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
                self._file = os.fdopen(descriptor, "ab", buffering=0)
            self._file.write(data)
            if self._file.tell() >= self._limit:
                self._let_go()
                self._rotate()
            if self._closed:
                self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rotate(self) -> None:
        for number in range(_KEPT - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.exists():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.replace(self.path.with_name(f"{self.path.name}.1"))
