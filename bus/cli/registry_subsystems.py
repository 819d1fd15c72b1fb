"""`govbus subsystem`: the systems of members, where they listen, and who carries for whom."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bus.cli.output import error_lines
from bus.cli.registry_open import At, Operator, Reason, change, view
from bus.cli.registry_show import Columns, list_entries, plain, show_entry, state_of
from bus.cli.up import JsonOption, StateOption
from bus.registry.change import Change
from bus.registry.state import RegistryState
from bus.registry.subsystems import (
    AgentAppointed,
    AgentDismissed,
    EndpointsSet,
    RateSet,
    SubsystemAdded,
    SubsystemResumed,
    SubsystemRevoked,
    SubsystemSuspended,
)
from bus.up.report_parts import iso

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Systems of members: add, list, show, limit, suspend, resume, revoke.")

Subsystem = Annotated[str, typer.Argument(help="<class>/<member>/<subsystem>, for example gov/mps/population.")]


@app.command()
def add(
    subsystem: Subsystem,
    reason: Reason,
    endpoint: Annotated[list[str] | None, typer.Option(help="Where it listens, host:port; may be repeated.")] = None,
    broker: Annotated[bool, typer.Option("--broker", help="It is a broker instance.")] = False,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """A member's system is registered. It gets its keys and certificate by enrolment, with a token."""
    changes: list[Change] = [SubsystemAdded(subsystem, broker)]
    if endpoint:
        changes.append(EndpointsSet(subsystem, tuple(endpoint)))
    change(state, operator, reason, as_json, lambda _: changes)


@app.command("list")
def list_(at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List all subsystems."""
    with error_lines():
        columns: Columns = {"subsystem": "name", "state": state_of, "listens on": "endpoints", "offers": _offers}
        list_entries(_entries(view(state, at)), columns, as_json)


def _entries(now: RegistryState) -> dict[str, dict[str, Any]]:
    """Each with its member's suspension, which is its own as long as it lasts."""
    return {
        path: plain(one) | {"member_suspended": iso(now.members[one.member].suspended_ms)}
        for path, one in now.subsystems.items()
    }


def _offers(entry: Mapping[str, Any]) -> str:
    return " ".join(entry["services"]) or ("is a broker" if entry["is_broker"] else "-")


@app.command()
def show(subsystem: Subsystem, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one subsystem."""
    with error_lines():
        show_entry(_entries(view(state, at)), subsystem, "subsystem", as_json)


@app.command()
def endpoints(
    subsystem: Subsystem,
    reason: Reason,
    addresses: Annotated[
        list[str] | None, typer.Argument(help="host:port, several are balanced; none: it only calls.")
    ] = None,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say where it listens, in place of what was there. A broker's own counts from its next start."""
    change(state, operator, reason, as_json, lambda _: [EndpointsSet(subsystem, tuple(addresses or ()))])


@app.command()
def limit(
    subsystem: Subsystem,
    reason: Reason,
    calls_per_second: Annotated[
        int, typer.Option(min=0, help="Calls a second over the whole bus, over all its grants; 0: no limit.")
    ] = 0,
    burst: Annotated[int, typer.Option(min=0, help="Calls at once; 0: as many as in a second.")] = 0,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """How much it may call, in place of what was there; its grants have limits of their own."""
    change(state, operator, reason, as_json, lambda _: [RateSet(subsystem, calls_per_second, burst)])


@app.command()
def suspend(
    subsystem: Subsystem,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """It neither calls nor serves until it is resumed; keys, certificates and grants stay."""
    change(state, operator, reason, as_json, lambda _: [SubsystemSuspended(subsystem)])


@app.command()
def resume(
    subsystem: Subsystem,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a suspension."""
    change(state, operator, reason, as_json, lambda _: [SubsystemResumed(subsystem)])


@app.command()
def revoke(
    subsystem: Subsystem,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """End it for ever, with its keys, certificates, offers and grants."""
    change(state, operator, reason, as_json, lambda _: [SubsystemRevoked(subsystem)])


@app.command()
def appoint(
    agent: Subsystem,
    client: Subsystem,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """AGENT may carry requests that CLIENT signed; both are of one member."""
    change(state, operator, reason, as_json, lambda _: [AgentAppointed(agent, client)])


@app.command()
def dismiss(
    agent: Subsystem,
    client: Subsystem,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """End an appointment."""
    change(state, operator, reason, as_json, lambda _: [AgentDismissed(agent, client)])
