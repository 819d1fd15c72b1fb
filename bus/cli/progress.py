"""What a command says while one waits: one line that changes on a terminal, a plain line for each step elsewhere.

It goes to stderr; stdout has the data. Nothing of it stays on a terminal's last line when the command ends.
"""

import os
import shutil
import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

from bus.cli.output import printable

__all__ = ["Progress"]

_TICK_S: Final = 0.25
_SAID_AFTER_S: Final = 2.0
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Call it with what is being done. `patient`: only what takes 2 s is told."""

    def __init__(self, *, quiet: bool = False, patient: bool = False) -> None:
        self._live = not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._quiet, self._patient = quiet, patient
        self._text, self._shown, self._since, self._told = "", "", time.monotonic(), True
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Self:
        if not self._quiet:
            self._ticker.start()
        return self

    def end(self) -> None:
        """Clear the line; nothing is said after this."""
        self._ended.set()
        if self._ticker.is_alive():
            self._ticker.join()
        with self._lock:
            if self._shown:
                _write(_CLEAR)
            self._shown, self._quiet = "", True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def __call__(self, text: str) -> None:
        """From now on this is being done."""
        with self._lock:
            self._text, self._since, self._told = printable(text), time.monotonic(), False
            if not self._patient:
                self._tell()

    def update(self, text: str) -> None:
        """How far it is: for a terminal only, when the line is drawn next."""
        with self._lock:
            if self._live:
                self._text = printable(text)

    def note(self, text: str) -> None:
        """A line that stays, also where nothing else is said."""
        with self._lock:
            _write(f"{_CLEAR if self._live else ''}{printable(text)}\n")

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_S):
            with self._lock:
                late = time.monotonic() - self._since > _SAID_AFTER_S
                if self._text and (late or (self._live and not self._patient)):
                    self._tell()

    def _tell(self) -> None:
        if self._quiet:
            return
        if self._live:
            waited = int(time.monotonic() - self._since)
            took = f" ({waited} s)" if waited >= _SAID_AFTER_S else ""
            line = f"  {self._text}"[: shutil.get_terminal_size().columns - 1 - len(took)] + took
            if line != self._shown:
                self._shown = line
                _write(_CLEAR + line)
        elif not self._told:
            self._told = True
            _write(f"  {self._text}\n")


def _write(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BrokenPipeError:  # nobody reads any more, and the work goes on
        pass
