"""`govbus explain ID`: what happened to one call, for a person who asks about it.

The operator's: of a refusal it tells what the registry had, which the caller is not told. First how it ended, then what
was written down in order, then its spans where a Jaeger is named, then what to do next.
"""

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from bus.cli.explain_advice import advice_at
from bus.cli.explain_registry import known_at
from bus.cli.explain_text import life_lines
from bus.cli.explain_trace import Traced, TracesUnread, find_trace
from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines, printable
from bus.cli.places import LAST, Places, RequestId, recorded_places, wanted_request
from bus.cli.registry_open import open_registry
from bus.cli.up import JsonOption, StateOption, layout_of, naming
from bus.engines.supervisor import EngineError
from bus.evidence.ending import Ending, ending_of
from bus.evidence.explain import Happening, Life, explain_call
from bus.ledger.checkpoint import LedgerInconsistent
from bus.ledger.reader import LedgerReader
from bus.ledger.tree import TreeDamaged
from bus.registry.event import LogBroken
from bus.registry.registry import Registry
from bus.up.clock import now_ms
from bus.up.layout import Layout
from bus.up.report import iso
from native.journal import JournalDamaged

__all__ = ["explain"]

_SILENT_S: Final = 2.0
_FRESH_MS: Final = 10_000
_WRITTEN_S: Final = 0.3
"""A refusal is written down a moment after it was told."""


def explain(
    request_id: RequestId,
    state: StateOption = None,
    journal: Annotated[
        Path | None, typer.Option(help="A broker's journal directory. Default: those of the instance.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="The ledger's directory. Default: the instance's; with --journal none.")
    ] = None,
    jaeger: Annotated[
        str | None,
        typer.Option(
            envvar="GOVBUS_JAEGER_URL",
            show_envvar=True,
            help="http://host:port of a Jaeger's query API: tell the call's spans, too; then ID may be a trace's.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell a call's whole life from journal, ledger and trace. Exit code 1: nothing was written down about it."""
    with error_lines():
        layout = layout_of(state)
        places = recorded_places(layout, journal, ledger)
        wanted = wanted_request(request_id, places)
        traced = _traced(jaeger, wanted)
        if traced is not None and traced.request_id is not None:
            wanted = traced.request_id
        life, ledger_told = _read(wanted, places, chosen=ledger is not None)
        again = naming("--state", state) + naming("--journal", journal) + naming("--ledger", ledger)
        then = _then(wanted, life, jaeger, ledger_told, again)
        ending = None if life.recorded is None else ending_of(life.recorded)
        others: tuple[str, ...] = ()
        if journal is None:
            life, ending, others = _told(layout, life, ending, naming("--state", state))
    ending = ending or _nowhere(wanted, others)
    ending = replace(ending, then=(*ending.then, *then))
    if as_json:
        echo_json(_document(wanted, ending, life, traced))
    else:
        newest = life.recorded.request if request_id == LAST and life.recorded is not None else None
        for line in life_lines(wanted.hex(), ending, life.happenings, traced, newest=newest):
            typer.echo(printable(line))
    raise typer.Exit(0 if life.happenings else NEGATIVE)


def _traced(jaeger: str | None, wanted: bytes) -> Traced | None:
    try:
        return None if jaeger is None else find_trace(jaeger, wanted.hex())
    except TracesUnread as error:
        typer.echo(printable(f"govbus: its spans are not told: {error}"), err=True)
        return None


def _read(wanted: bytes, places: Places, *, chosen: bool) -> tuple[Life, bool]:
    """What journals and ledger have, and whether a ledger was asked."""
    notice = threading.Timer(_SILENT_S, lambda: typer.echo("reading the journal", err=True))
    notice.daemon = True
    notice.start()
    try:
        kept = places.ledger if places.ledger is not None and (chosen or places.ledger.exists()) else None
        reader = None if kept is None else LedgerReader.open(kept)
        life = explain_call(wanted, places.journals, reader)
        made_ms = _made_ms(wanted)
        if life.recorded is None and made_ms is not None and abs(now_ms() - made_ms) < _FRESH_MS:
            time.sleep(_WRITTEN_S)
            life = explain_call(wanted, places.journals, reader)
    except (JournalDamaged, TreeDamaged, LedgerInconsistent, ValueError) as error:
        raise Unable(str(error)) from error
    finally:
        notice.cancel()
    return life, reader is not None


def _told(layout: Layout, life: Life, ending: Ending | None, again: str) -> tuple[Life, Ending | None, tuple[str, ...]]:
    """With what the registry had at each refusal; brokers elsewhere, of what nobody here has. As it is without one."""
    if life.recorded is not None and not any(one.refused for one in life.happenings):
        return life, ending, ()
    try:
        with open_registry(layout) as registry:
            if ending is None:
                return life, ending, _elsewhere(layout, registry)
            life = replace(life, happenings=[_known(registry, one) for one in life.happenings])
            return life, _because(registry, ending, life, again), ()
    except (EngineError, LogBroken, ValueError) as error:
        typer.echo(printable(f"what the registry knew is not told: {error}"), err=True)
        return life, ending, ()


def _known(registry: Registry, one: Happening) -> Happening:
    return one if one.refused is None else replace(one, registry=known_at(registry, one.refused))


def _because(registry: Registry, ending: Ending, life: Life, again: str) -> Ending:
    """A refusal, with what the registry says of it."""
    judged = next((one for one in life.happenings if one.refused is not None), None)
    if ending.word != "REFUSED" or judged is None or judged.refused is None:
        return ending
    then = advice_at(registry, judged.refused, ending.then, again)
    if not judged.registry:
        return replace(ending, then=then)
    who = "operator: govbus history tells who changed what in the registry, and why"
    return replace(ending, text=f"{ending.text}: {'; '.join(judged.registry)}", then=(*then, who))


def _elsewhere(layout: Layout, registry: Registry) -> tuple[str, ...]:
    here = layout.broker_paths(layout.expect())
    return tuple(path for path, one in registry.state().subsystems.items() if one.is_broker and path not in here)


def _made_ms(wanted: bytes) -> int | None:
    """When its client made it, by the client's clock; None for what is no request's id."""
    return int.from_bytes(wanted[:6], "big") if UUID(bytes=wanted).version == 7 else None  # RFC 9562 5.7


def _nowhere(wanted: bytes, others: tuple[str, ...]) -> Ending:
    made = _made_ms(wanted)
    if made is None:
        return Ending(
            "NOT FOUND",
            "no journal here has it, and it is no request's id: those are UUIDs of version 7",
            (
                "if it is a trace's: name its Jaeger with --jaeger, or take govbus.request_id from one of its spans",
                "else copy the id again: from the error, the answer (call --json), or the proxy's govbus-request-id",
            ),
        )
    asked = f", or another broker has it: {', '.join(others)}" if others else ""
    return Ending(
        "NOT FOUND",
        f"no journal here has it; its client made it at {iso(made)}, by its own clock",
        (
            "it was refused before its signature was verified: that is counted and not written down, its client was"
            " told why (govbus_gate_refusals_total by reason, docs/metrics.md)",
            f"or it never left its client, whose own words say so{asked}",
            "a broker of a home of its own keeps its journal there: govbus explain ID --journal DIR",
        ),
    )


def _then(wanted: bytes, life: Life, jaeger: str | None, ledger_told: bool, again: str) -> tuple[str, ...]:
    found = []
    if life.recorded is not None and life.recorded.intent is not None:
        found.append(f"proof of it: govbus evidence export {wanted.hex()}{again}")
    if life.recorded is not None and not ledger_told:
        found.append("the ledger was not asked: there is none here; --ledger DIR names one")
    if life.recorded is not None and jaeger is None:
        found.append(f"its spans, if they were exported, have govbus.request_id={wanted.hex()}; --jaeger URL asks")
    return tuple(found)


def _document(wanted: bytes, ending: Ending, life: Life, traced: Traced | None) -> dict[str, Any]:
    return {
        "request_id": wanted.hex(),
        "ended": {"as": ending.word, "text": ending.text, "next": list(ending.then)},
        "life": [
            {
                "time": iso(one.time_ms),
                "time_ms": one.time_ms,
                "who": one.who,
                "what": one.what,
                "details": list(one.details),
            }
            | ({"registry": list(one.registry)} if one.registry else {})
            for one in life.happenings
        ],
        "trace": None if traced is None else traced.document(),
    }
