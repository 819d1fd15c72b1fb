"""`govbus logs`: what the parts wrote: the supervisor and what runs in it, PostgreSQL, Envoy, the ledger, the members.

Followed files may be emptied or replaced while they are read (bus.engines.logs); reading goes on at the new beginning.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

import typer

from bus.cli.near import did_you_mean
from bus.cli.output import Unable, echo_json, error_lines, printable
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.nation.members import PROGRAMS
from bus.nation.places import log_file, nation_directory
from bus.nation.settled import settled
from bus.up.layout import Layout

__all__ = ["logs"]

_LOOK_SECONDS = 0.2
_CHUNK = 256 * 1024


class LogPart(StrEnum):
    """Whose words."""

    supervisor = "supervisor"
    publisher = "publisher"
    postgres = "postgres"
    broker = "broker"
    ledger = "ledger"
    nation = "nation"


def logs(
    part: Annotated[
        str | None,
        typer.Argument(help=f"One part only: {', '.join(LogPart)}, or a path of the nation's. Default: all."),
    ] = None,
    state: StateOption = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of each file's last lines.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the last lines of each part's log."""
    with error_lines():
        layout = layout_of(state)
        every = _sources(layout)
        sources = [one for one in every if part is None or part in one.parts]
        if not sources:
            known = dict.fromkeys(each for one in every for each in one.parts)
            said = did_you_mean(part or "", known) or f"; there are {', '.join(known)}"
            raise Unable(f"there is no part {part}{said}")
        try:
            found = [(one, line) for one in sources for line in one.last(lines, part)]
            if as_json and not follow:
                echo_json([_entry(*each) for each in found])
                return
            _print(found, as_json)
            while follow:
                time.sleep(_LOOK_SECONDS)
                _print([(one, line) for one in sources for line in one.more(part)], as_json)
        except KeyboardInterrupt:
            return
        finally:
            for one in sources:
                one.close()


@dataclass(slots=True)
class _Source:
    """One file, and whose words stand in it."""

    path: Path
    parts: tuple[str, ...]
    shared: bool = False
    """Its lines say whose they are."""
    file: IO[bytes] | None = field(default=None, repr=False)
    rest: bytes = b""

    def last(self, count: int, part: str | None) -> list[str]:
        """The last lines that are `part`'s; the next `more` goes on behind them."""
        if not self._open():
            return []
        assert self.file is not None  # noqa: S101 (opened above)
        self.file.seek(max(0, self.file.seek(0, 2) - _CHUNK))
        found = list(self._read(part))
        return found[len(found) - min(count, len(found)) :]

    def more(self, part: str | None) -> list[str]:
        """What was written since."""
        found = list(self._read(part)) if self.file is not None else []
        if self._was_replaced():
            self.close()
            if self._open():
                found += self._read(part)
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            self.file.close()
            self.file, self.rest = None, b""

    def _open(self) -> bool:
        try:
            self.file = self.path.open("rb")
        except FileNotFoundError:
            return False
        return True

    def _was_replaced(self) -> bool:
        if self.file is None:
            return self.path.exists()
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        return not os.path.samestat(found, os.fstat(self.file.fileno())) or found.st_size < self.file.tell()

    def _read(self, part: str | None) -> Iterator[str]:
        assert self.file is not None  # noqa: S101 (the callers looked)
        *whole, self.rest = (self.rest + self.file.read()).split(b"\n")
        for line in whole:
            text = line.decode("utf-8", "replace")
            if part is None or not self.shared or part == LogPart.supervisor or f" {part}: " in text[:60]:
                yield text


def _sources(layout: Layout) -> list[_Source]:
    facts = layout.expect()
    homes = [layout.broker_home(path) for path in layout.broker_paths(facts)]
    shared = (LogPart.supervisor, LogPart.publisher, LogPart.broker)
    return [
        _Source(layout.log, shared, shared=True),
        _Source(layout.state / "postgres" / "postgres.log", (LogPart.postgres,)),
        *(_Source(home / "envoy" / "envoy.log", (LogPart.broker,)) for home in homes),
        _Source(layout.ledger_writer / "ledger.log", (LogPart.ledger,)),
        *_nation(layout),
    ]


def _nation(layout: Layout) -> list[_Source]:
    if settled(layout) is None:
        return []
    members = [_Source(log_file(layout, one.path), (one.path, LogPart.nation)) for one in PROGRAMS]
    return [*members, _Source(nation_directory(layout) / "postgres" / "postgres.log", (LogPart.nation,))]


def _entry(source: _Source, line: str) -> dict[str, str]:
    return {"file": str(source.path), "line": line}


def _print(found: list[tuple[_Source, str]], as_json: bool) -> None:
    """A line each; as JSON an object a line, since there is no end to wait for."""
    for one, line in found:
        typer.echo(json.dumps(_entry(one, line)) if as_json else f"{one.path.stem:<10} {printable(line)}")
