"""`govbus grant`: who may call which methods of whom, for which purposes, until when and how much."""

from typing import Annotated, Any

import typer

from bus.cli.output import error_lines
from bus.cli.registry_open import (
    At,
    Operator,
    Reason,
    change,
    list_entries,
    now_ms,
    parse_time,
    plain,
    show_entry,
    view,
)
from bus.cli.up import JsonOption, StateOption
from bus.registry.grants import GrantMade, GrantRevoked, Quota, QuotaSet
from bus.registry.state import GrantEntry, RegistryState

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Who may call whom for what: add, list, show, quota, revoke.")

GrantId = Annotated[str, typer.Argument(help="The grant's id; an id is used once, for ever.")]
PerSecond = Annotated[int, typer.Option(min=0, help="Calls a second over the whole bus; 0: no limit.")]
Burst = Annotated[int, typer.Option(min=0, help="Calls at once; 0: as the gate decides.")]
CallsPerDay = Annotated[int, typer.Option(min=0, help="Calls a day; 0: no limit.")]
BytesPerDay = Annotated[int, typer.Option(min=0, help="Bytes a day; 0: no limit.")]
_YEAR_MS = 365 * 86_400_000


@app.command()
def add(
    grant_id: GrantId,
    client: Annotated[str, typer.Option(help="Who calls, <class>/<member>/<subsystem>.")],
    provider: Annotated[str, typer.Option(help="Who is called.")],
    method: Annotated[list[str], typer.Option(help="/package.Service/Method, or /package.Service/*; may be repeated.")],
    purpose: Annotated[list[str], typer.Option(help="A purpose code; may be repeated.")],
    reason: Reason,
    not_before: Annotated[str | None, typer.Option(help="From when. Default: now.")] = None,
    not_after: Annotated[str | None, typer.Option(help="Until when, 2027-01-31T08:00:00Z. Default: one year.")] = None,
    calls_per_second: PerSecond = 0,
    burst: Burst = 0,
    calls_per_day: CallsPerDay = 0,
    bytes_per_day: BytesPerDay = 0,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let CLIENT call methods of PROVIDER for these purposes. The provider must accept operator-made grants."""
    with error_lines():
        since = parse_time(not_before, "--not-before") if not_before else now_ms()
        until = parse_time(not_after, "--not-after") if not_after else since + _YEAR_MS
    quota = Quota(calls_per_second, burst, calls_per_day, bytes_per_day)

    def changes(now: RegistryState) -> list[GrantMade]:
        methods = tuple(path for one in method for path in _methods(now, one))
        return [GrantMade(grant_id, client, provider, methods, tuple(purpose), since, until, quota)]

    change(state, operator, reason, as_json, changes)


@app.command("list")
def list_(
    client: Annotated[str | None, typer.Option(help="Only those of this client.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only those of this provider.")] = None,
    at: At = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all grants that were ever made."""
    with error_lines():
        found = {
            name: one
            for name, one in view(state, at).grants.items()
            if client in (None, one.client) and provider in (None, one.provider)
        }
        flat = {name: _flat(one) for name, one in found.items()}
        list_entries(flat, ("client", "provider", "purposes", "methods", "not_after", "revoked"), as_json)


@app.command()
def show(grant_id: GrantId, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one grant."""
    with error_lines():
        found = view(state, at).grants
        show_entry({name: _flat(one) for name, one in found.items() if name == grant_id}, grant_id, "grant", as_json)


@app.command()
def quota(
    grant_id: GrantId,
    reason: Reason,
    calls_per_second: PerSecond = 0,
    burst: Burst = 0,
    calls_per_day: CallsPerDay = 0,
    bytes_per_day: BytesPerDay = 0,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Other limits for a grant in force, in place of those it has."""
    limits = Quota(calls_per_second, burst, calls_per_day, bytes_per_day)
    change(state, operator, reason, as_json, lambda _: [QuotaSet(grant_id, limits)])


@app.command()
def revoke(
    grant_id: GrantId, reason: Reason, operator: Operator = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """End a grant, for ever."""
    change(state, operator, reason, as_json, lambda _: [GrantRevoked(grant_id)])


def _flat(entry: GrantEntry) -> dict[str, Any]:
    shown: dict[str, Any] = plain(entry)
    grant: dict[str, Any] = shown.pop("grant")
    return grant | shown


def _methods(now: RegistryState, text: str) -> list[str]:
    """A pattern `/package.Service/*` is all methods that the service has at this moment."""
    if not text.endswith("/*"):
        return [text]
    found = now.services.get(text[1:-2])
    return [method.path for method in found.methods] if found else [text]
