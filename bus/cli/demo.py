"""`govbus demo`: a nation on this machine: a birth without papers, changes, attacks, a proof. See bus.demo."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from bus.exchange import CallError  # isort: skip - before gRPC, see bus.exchange.tls

from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines
from bus.demo.report import DemoError
from bus.demo.run import Step, run_demo
from bus.demo.screen import Screen
from bus.demo.world import DEFAULT_PEOPLE
from bus.nation.settled import MOST_PEOPLE
from native.journal import JournalDamaged

__all__ = ["demo"]

_INTERRUPTED = 130
FEWEST = 2_000  # among fewer there may be no family of the province


def demo(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False,
    slow: Annotated[bool, typer.Option("--slow", help="Leave time to read and explain.")] = False,
    only: Annotated[Step | None, typer.Option(help="Show this step alone (and run what it needs).")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep everything in this directory; made if it is not there. Default: nothing.")
    ] = None,
    people: Annotated[
        int | None,
        typer.Option(min=FEWEST, max=MOST_PEOPLE, help=f"In the nation, first time only. Default: {DEFAULT_PEOPLE}."),
    ] = None,
) -> None:
    """Start a small nation, register a birth in it, attack it, prove a call. Exit code 1 unless all holds."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # names of wards on a terminal that cannot show them
    with error_lines():
        try:
            document = run_demo(Screen(quiet=as_json, slow=slow), only=only, keep=state, people=people)
        except DemoError as error:
            raise Unable(str(error)) from error
        except (CallError, JournalDamaged) as error:
            raise Unable(f"an honest call did not end well: {error}") from error
        except KeyboardInterrupt:
            typer.echo("govbus: stopped; nothing runs any more", err=True)
            raise typer.Exit(_INTERRUPTED) from None
    if as_json:
        echo_json(document)
    if not document["holds"]:
        raise typer.Exit(NEGATIVE)
