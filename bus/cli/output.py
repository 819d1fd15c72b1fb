"""What every command shares: tables for people, JSON for programs, one line for an error, and what exit codes mean.

    0  done, or verified
    1  the answer is no: evidence that does not hold
    2  it could not be done: wrong usage, a file that is missing or wrong; the line on stderr says what to do

Data goes to stdout, everything else to stderr.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import typer

__all__ = ["EXPECTED", "NEGATIVE", "UNABLE", "Unable", "echo_json", "error_lines", "print_table", "printable"]

NEGATIVE = 1
UNABLE = 2
_FILE_WIDTH = 100_000
"""Characters; nothing that a registry keeps is as long."""


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


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """A table on stdout: folded to a terminal's width, a line for each row elsewhere; nothing is ever cut off.

    What reads a pipe looks for whole names, whatever width COLUMNS says the terminal has.
    """
    from rich.table import Table  # a tenth of a second that --json need not pay

    from bus.cli.console import PipeConsole

    console = PipeConsole(markup=False, highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    console.print(table)
