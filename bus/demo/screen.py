"""How the demonstration is shown: headings, a line for each claim, tables, and something that moves while one waits.

It takes the width of its terminal, and 100 columns elsewhere; what is longer goes on in the next line, indented. A
quiet screen shows nothing: `--json` has the terminal for its document.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from bus.cli.output import has_colour
from bus.cli.progress import Progress
from bus.cli.table import folded, table_lines
from bus.demo.report import Claim

__all__ = ["Screen"]

_FILE_WIDTH: Final = 100
_PAUSE_S: Final = 1.5
_BOLD, _GREEN, _RED = "1", "32", "1;31"


class Screen:
    """Where the demonstration is shown. `slow` leaves time to read and to explain."""

    def __init__(self, *, quiet: bool = False, slow: bool = False) -> None:
        self._quiet, self._pause = quiet, _PAUSE_S if slow else 0.0
        self._coloured = has_colour(sys.stdout)

    def heading(self, text: str) -> None:
        """A new step."""
        line = "\u2500" if (sys.stdout.encoding or "").lower().startswith("utf") else "-"
        self._print("", self._painted(text, _BOLD) + " " + line * max(0, self._width - len(text) - 1))

    def say(self, text: str) -> None:
        """A line of the story."""
        self._print(folded(f"  {text}", self._width, "    "))
        self._rest()

    def note(self, text: str) -> None:
        """A line that stands apart."""
        self._print("", folded(text, self._width))

    def claim(self, claim: Claim) -> None:
        """A claim, and what was found if it does not hold."""
        mark, colour = ("ok", _GREEN) if claim.holds else ("NO", _RED)
        text = folded(f"  {mark}  {claim.text}", self._width, " " * 6)
        self._print(text.replace(mark, self._painted(mark, colour), 1))
        if not claim.holds:
            found = folded(f"      expected {claim.expected}, found {claim.found}", self._width, " " * 8)
            self._print(self._painted(found, _RED))
        self._rest()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
        """A table; a row with a cell that begins with NO is shown as a failure."""
        head, *lines = table_lines(columns, rows, self._width)
        self._print("", *([title] if title else []), *(self._painted(line, _BOLD) for line in head))
        for row, cells in zip(lines, rows, strict=True):
            failed = any(cell.startswith("NO") for cell in cells)
            self._print(*(self._painted(line, _RED) if failed else line for line in row))
        self._rest()

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """Something moves on a terminal while the block runs and says what it is at; elsewhere `text` is said once."""
        if self._quiet or not sys.stdout.isatty():
            self._print(folded(f"  ... {text}", self._width, " " * 6))
            yield lambda at: None
            return
        with Progress() as progress:
            progress(text)
            yield lambda at: progress.update(f"{text}: {at}")

    def wait(self, text: str, until_ms: int) -> None:
        """Wait until the wall clock says `until_ms`; a terminal says how long that is."""
        end = until_ms / 1000
        with self.working(f"{text} ({max(0.0, end - time.time()):.0f} s)"):
            while (now := time.time()) < end:
                time.sleep(min(0.1, end - now))

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size((_FILE_WIDTH, 24)).columns

    def _painted(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text

    def _print(self, *lines: str) -> None:
        if not self._quiet:
            print(*lines, sep="\n", flush=True)

    def _rest(self) -> None:
        if self._pause and not self._quiet:
            time.sleep(self._pause)
