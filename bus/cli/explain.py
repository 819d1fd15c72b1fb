"""`govbus explain ID`: what happened to one call, for a person who asks about it.

The operator's: of a refusal it tells what the registry knew at that time, which the caller is not told.
"""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.explain_registry import known_of
from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines, print_table
from bus.cli.places import recorded_places
from bus.cli.registry_open import open_registry
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.engines.supervisor import EngineError
from bus.evidence.explain import Happening, explain_call
from bus.evidence.export import parse_request_id
from bus.ledger.checkpoint import LedgerInconsistent
from bus.ledger.reader import LedgerReader
from bus.ledger.tree import TreeDamaged
from bus.registry.event import LogBroken
from bus.registry.registry import Registry
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
            layout = layout_of(state)
            places = recorded_places(layout, journal, ledger)
            kept = places.ledger if places.ledger is not None and (ledger or places.ledger.exists()) else None
            found = explain_call(wanted, places.journals, None if kept is None else LedgerReader.open(kept))
            if journal is None:
                found = _told(layout, found)
        except (JournalDamaged, TreeDamaged, LedgerInconsistent, ValueError) as error:
            raise Unable(str(error)) from error
        finally:
            notice.cancel()
    _tell(wanted, found, as_json)
    raise typer.Exit(0 if found else NEGATIVE)


def _told(layout: Layout, found: list[Happening]) -> list[Happening]:
    """With what the registry knew at each refusal; as it is where the registry cannot be read."""
    if not any(one.refused for one in found):
        return found
    try:
        with open_registry(layout) as registry:
            return [_known(registry, one) for one in found]
    except (EngineError, LogBroken) as error:
        typer.echo(f"what the registry knew is not told: {error}", err=True)
        return found


def _known(registry: Registry, one: Happening) -> Happening:
    if one.refused is None or one.time_ms is None:
        return one
    known = known_of(registry.state_at_time(one.time_ms), one.refused, one.time_ms)
    return replace(one, registry=known)


def _tell(request_id: bytes, found: list[Happening], as_json: bool) -> None:
    if as_json:
        life = [
            {"time": iso(one.time_ms), "who": one.who, "what": one.what, "details": list(one.details)}
            | ({"registry": list(one.registry)} if one.registry else {})
            for one in found
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
    rows = [
        (
            iso(one.time_ms) or "",
            one.who,
            "; ".join((one.what, *one.details, *(f"registry: {said}" for said in one.registry))),
        )
        for one in found
    ]
    print_table(("when", "who", "what"), rows)
    typer.echo(f"spans of the call have the attribute govbus.request_id={request_id.hex()}", err=True)
    if any(one.admitted for one in found):
        typer.echo(f"proof of it: govbus evidence export {request_id.hex()}", err=True)
