"""What every command shares: tables for people, JSON for programs, one line for an error, and what exit codes mean.

    0  done, or verified
    1  the answer is no: evidence that does not hold
    2  it could not be done: wrong usage, a file that is missing or wrong; the line on stderr says what to do

Data goes to stdout, everything else to stderr.
"""

import errno
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer
from google.protobuf.message import Error as ProtobufError
from rich.console import Console
from rich.table import Table

from bus.edge.yaml_reader import YamlFileError
from bus.engines.supervisor import EngineError
from bus.evidence.bundle import BundleError
from bus.registry.event import LogBroken
from bus.registry.refusal import Refusal
from native.policy import PolicyError
from native.snapshot import SnapshotError
from pki.errors import ProfileError
from pki.identity import IdentityError

__all__ = ["NEGATIVE", "UNABLE", "PipeConsole", "Unable", "echo_json", "error_lines", "print_table"]

NEGATIVE = 1
UNABLE = 2
_FILE_WIDTH = 100_000
"""Characters; nothing that a registry keeps is as long."""


class Unable(Exception):
    """A command's own reason for not doing it; the text says what to do instead."""


_EXPECTED = (
    Unable,
    YamlFileError,
    EngineError,
    BundleError,
    PolicyError,
    SnapshotError,
    ProfileError,
    IdentityError,
    ProtobufError,
    Refusal,
    LogBroken,
)


@contextmanager
def error_lines(missing: str = "look at the path") -> Iterator[None]:
    """Turn expected errors into one line and exit code 2. What is not expected stays a traceback: it is a bug.

    `missing`: what to do about a file that is not there.
    """
    try:
        yield
    except _EXPECTED as error:
        typer.echo(f"govbus: {error}", err=True)
        raise typer.Exit(UNABLE) from error
    except BrokenPipeError:
        raise  # whoever read our output has enough: bus.cli.main ends quietly
    except FileNotFoundError as error:
        typer.echo(f"govbus: No such file or directory: {error.filename or error}; {missing}", err=True)
        raise typer.Exit(UNABLE) from error
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        typer.echo(f"govbus: {error.strerror or error}{where}", err=True)
        raise typer.Exit(UNABLE) from error


def echo_json(value: object) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, indent=2, sort_keys=True))


class PipeConsole(Console):
    """One whose reader may go away, as `head` does: that is told like any write to a closed pipe."""

    def on_broken_pipe(self) -> None:
        """See rich.console.Console."""
        self.quiet = True
        raise BrokenPipeError(errno.EPIPE, "the reader has gone")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """A table on stdout: folded to a terminal's width, a line for each row elsewhere; nothing is ever cut off.

    What reads a pipe looks for whole names, whatever width COLUMNS says the terminal has.
    """
    console = PipeConsole(markup=False, highlight=False, width=None if sys.stdout.isatty() else _FILE_WIDTH)
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
