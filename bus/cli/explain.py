"""`govbus explain ID`: what happened to one call, for a person who asks about it."""

import threading
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines, print_table
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.evidence.explain import Happening, explain_call
from bus.evidence.export import parse_request_id
from bus.ledger.checkpoint import LedgerInconsistent
from bus.ledger.reader import LedgerReader
from bus.ledger.tree import TreeDamaged
from bus.up.layout import Layout
from bus.up.report import iso
from native.journal import JournalDamaged

__all__ = ["explain"]

_SILENT_S = 2.0


def explain(
    request_id: Annotated[str, typer.Argument(help="The request's id, as hex or UUID.")],
    state: StateOption = None,
    journal: Annotated[
        Path | None, typer.Option(help="A broker's journal directory. Default: those of the instance.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="The ledger's directory. Default: the instance's; with --journal none.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a call's whole life from journal and ledger. Exit code 1: nobody wrote anything down about it."""
    with error_lines():
        notice = threading.Timer(_SILENT_S, lambda: typer.echo("reading the journal", err=True))
        notice.daemon = True
        notice.start()
        try:
            wanted = parse_request_id(request_id)
            journals, kept = _places(layout_of(state), journal, ledger)
            found = explain_call(wanted, journals, LedgerReader.open(kept) if kept is not None else None)
        except (JournalDamaged, TreeDamaged, LedgerInconsistent, ValueError) as error:
            raise Unable(str(error)) from error
        finally:
            notice.cancel()
    _tell(wanted, found, as_json)
    raise typer.Exit(0 if found else NEGATIVE)


def _places(layout: Layout, journal: Path | None, ledger: Path | None) -> tuple[tuple[Path, ...], Path | None]:
    if journal is not None:
        return (journal,), ledger
    facts = layout.expect()
    journals = tuple(layout.broker_home(path) / "journal" for path in layout.broker_paths(facts))
    return journals, ledger or (layout.ledger if layout.ledger.exists() else None)


def _tell(request_id: bytes, found: list[Happening], as_json: bool) -> None:
    if as_json:
        life = [
            {"time": iso(one.time_ms), "who": one.who, "what": one.what, "details": list(one.details)} for one in found
        ]
        echo_json({"request_id": request_id.hex(), "life": life})
        return
    if not found:
        typer.echo(
            "nobody wrote anything down about this id: the call was refused before its signature was verified, went to"
            " another broker, or never left its client",
            err=True,
        )
        return
    rows = [(iso(one.time_ms) or "", one.who, "; ".join((one.what, *one.details))) for one in found]
    print_table(("when", "who", "what"), rows)
    typer.echo(f"spans of the call have the attribute govbus.request_id={request_id.hex()}", err=True)
    if any(one.admitted for one in found):
        typer.echo(f"proof of it: govbus evidence export {request_id.hex()}", err=True)
