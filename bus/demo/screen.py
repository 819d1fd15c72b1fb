"""How the demonstration is shown: headings, a line for each claim, tables, and something that moves while one waits.

A quiet screen shows nothing: `--json` has the terminal for its document.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bus.demo.report import Claim

__all__ = ["Screen"]

_FILE_WIDTH = 120
_PAUSE_S = 1.5


class Screen:
    """Where the demonstration is shown. `slow` leaves time to read and to explain."""

    def __init__(self, *, quiet: bool = False, slow: bool = False) -> None:
        console = Console(quiet=quiet, highlight=False)
        self._console = console if console.is_terminal else Console(quiet=quiet, highlight=False, width=_FILE_WIDTH)
        self._pause = _PAUSE_S if slow else 0.0

    def heading(self, text: str) -> None:
        """A new step."""
        self._console.print()
        self._console.rule(f"[bold]{escape(text)}", align="left")

    def say(self, text: str) -> None:
        """A line of the story."""
        self._console.print(f"  {escape(text)}")
        self._rest()

    def note(self, text: str) -> None:
        """A line that stands apart."""
        self._console.print(f"\n{escape(text)}")

    def claim(self, claim: Claim) -> None:
        """A claim, and what was found if it does not hold."""
        mark = "[green]ok  [/]" if claim.holds else "[bold red]NO  [/]"
        self._console.print(f"  {mark}{escape(claim.text)}")
        if not claim.holds:
            self._console.print(f"      expected {escape(claim.expected)}, found {escape(claim.found)}", style="red")
        self._rest()

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
        """A table; a cell that begins with NO is shown as a failure."""
        table = Table(
            *columns, title=title or None, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
        )
        for row in rows:
            table.add_row(*(f"[bold red]{escape(cell)}[/]" if cell.startswith("NO") else escape(cell) for cell in row))
        self._console.print()
        self._console.print(table)
        self._rest()

    @contextmanager
    def working(self, text: str) -> Iterator[Callable[[str], None]]:
        """Something moves on a terminal while the block runs and says what it is at; elsewhere `text` is said once."""
        if self._console.is_terminal:
            with self._console.status(escape(text)) as status:
                yield lambda at: status.update(escape(f"{text}: {at}"))
        else:
            self._console.print(f"  ... {escape(text)}")
            yield lambda at: None

    def wait(self, text: str, until_ms: int) -> None:
        """Wait until the wall clock says `until_ms`, with a bar on a terminal."""
        began, end = time.time(), until_ms / 1000
        if not self._console.is_terminal:
            self._console.print(f"  ... {escape(text)} ({max(0.0, end - began):.0f} s)")
        with Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        ) as progress:
            task = progress.add_task(escape(text), total=max(0.01, end - began))
            while (now := time.time()) < end:
                progress.update(task, completed=now - began)
                time.sleep(min(0.1, end - now))

    def _rest(self) -> None:
        if self._pause and not self._console.quiet:
            time.sleep(self._pause)
