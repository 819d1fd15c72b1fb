"""What every command shares: tables for people, JSON for programs, one line for an error, and what exit codes mean.

    0  done, or verified
    1  the answer is no: evidence that does not hold
    2  it could not be done: wrong usage, a file that is missing or wrong; the line on stderr says what to do

Data goes to stdout, everything else to stderr.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Final

import typer

from bus.cli.table import folded, table_lines

__all__ = [
    "EXPECTED",
    "NEGATIVE",
    "UNABLE",
    "Unable",
    "echo_json",
    "error_lines",
    "has_colour",
    "print_table",
    "printable",
    "terminal_width",
]

NEGATIVE = 1
UNABLE = 2
_BELOW: Final = " " * 6
_COLOURS: Final = {
    **dict.fromkeys(("up", "ok"), "32"),
    **dict.fromkeys(("stale", "starting", "warning"), "33"),
    **dict.fromkeys(("down", "wrong", "FAILED"), "1;31"),
}
"""Words for states, and how a terminal shows them: green, yellow, red."""


class Unable(Exception):
    """A command's own reason for not doing it; the text says what to do instead."""


EXPECTED: Final = frozenset(
    {
        "bus.cli.output.Unable",
        "bus.edge.yaml_reader.YamlFileError",
        "bus.engines.supervisor.EngineError",
        "bus.evidence.bundle.BundleError",
        "bus.registry.event.LogBroken",
        "bus.registry.refusal.Refusal",
        "google.protobuf.message.Error",
        "native.policy_types.PolicyError",
        "native.snapshot.SnapshotError",
        "pki.errors.ProfileError",
        "pki.identity.IdentityError",
    }
)
"""Errors, by name, whose text says what to do: a command that cannot raise one need not import where it is declared."""


@contextmanager
def error_lines(missing: str = "look at the path") -> Iterator[None]:
    """Turn expected errors into one line and exit code 2. What is not expected stays a traceback: it is a bug.

    `missing`: what to do about a file that is not there.
    """
    try:
        yield
    except Exception as error:
        line = _line(error, missing)
        if line is None:
            raise
        typer.echo("govbus: " + "\n".join(map(printable, line.split("\n"))), err=True)
        raise typer.Exit(UNABLE) from error


def _line(error: Exception, missing: str) -> str | None:
    if any(f"{kind.__module__}.{kind.__qualname__}" in EXPECTED for kind in type(error).__mro__):
        return str(error)
    if isinstance(error, BrokenPipeError):
        return None  # whoever read our output has enough: bus.cli.main ends quietly
    if isinstance(error, FileNotFoundError):
        return f"No such file or directory: {error.filename or error}; {missing}"
    if isinstance(error, PermissionError):
        return f"Permission denied: {error.filename or error}; give the command as the account that owns it"
    if isinstance(error, IsADirectoryError):
        return f"Is a directory: {error.filename}; {missing}"
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}"
    return None


def echo_json(value: object) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True))


def printable(text: str) -> str:
    """`text` as one line that cannot command a terminal: names, reasons and logs may come from strangers."""
    return "".join(each if each.isprintable() or each == "\t" else f"\\x{ord(each):02x}" for each in text)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    title: str | None = None,
    below: Sequence[Sequence[str]] | None = None,
) -> None:
    """A table on stdout, as bus.cli.table lays it out; a terminal gets the words for a state in colour.

    `below`: for each row, what more there is to say of it, in lines of their own, indented.
    """
    width, coloured = terminal_width(), has_colour(sys.stdout)
    head, *lines = [[], *table_lines(columns, [tuple(map(printable, row)) for row in rows], width)]
    if any(columns):
        head, *lines = lines
        head = [f"\x1b[1m{line}\x1b[0m" for line in head] if coloured else head
    said = head if title is None else [*map(printable, title.split("\n")), *head]
    for number, (row, cells) in enumerate(zip(lines, rows, strict=True)):
        said += [_painted(row[0], cells), *row[1:]] if coloured else row
        said += [folded(_BELOW + printable(each), width, f"{_BELOW}  ") for each in (below[number] if below else ())]
    typer.echo("\n".join(said))


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is, COLUMNS having the last word; None for everything else."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def has_colour(stream: IO[str]) -> bool:
    """Whether it is a terminal whose owner wants colours: https://no-color.org, and TERM=dumb."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _painted(line: str, cells: Sequence[str]) -> str:
    """With the first cell that is the word for a state in that state's colour."""
    for cell in cells:
        if colour := _COLOURS.get(cell):
            return re.sub(rf"(?<!\S){re.escape(cell)}(?!\S)", f"\x1b[{colour}m{cell}\x1b[0m", line, count=1)
    return line
