"""`govbus grant`: who may call which methods of whom, for which purposes, until when and how much."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from bus.cli.near import did_you_mean
from bus.cli.output import error_lines
from bus.cli.registry_open import At, Operator, Reason, change, now_ms, parse_time, view
from bus.cli.registry_show import Columns, known, list_entries, plain, show_entry
from bus.cli.up import JsonOption, StateOption
from bus.registry.grants import GrantMade, GrantRevoked, Quota, QuotaSet
from bus.registry.state import GrantEntry, RegistryState
from bus.up.report_parts import iso

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Who may call whom for what: add, list, show, quota, revoke.")

GrantId = Annotated[str, typer.Argument(help="The grant's id; an id is used once, for ever.")]
PerSecond = Annotated[int, typer.Option(min=0, help="Calls a second over the whole bus; 0: no limit.")]
Burst = Annotated[int, typer.Option(min=0, help="Calls at once; 0: as the gate decides.")]
CallsPerDay = Annotated[int, typer.Option(min=0, help="Calls a day; 0: no limit.")]
BytesPerDay = Annotated[int, typer.Option(min=0, help="Bytes a day; 0: no limit.")]
_YEAR_MS = 365 * 86_400_000
_BUS_PURPOSES = "govbus."
"""With this begin the purposes of what the bus does with itself."""


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
        _note_new_purposes(now, purpose)
        return [GrantMade(grant_id, client, provider, methods, tuple(purpose), since, until, quota)]

    change(state, operator, reason, as_json, changes)


@app.command("list")
def list_(
    client: Annotated[str | None, typer.Option(help="Only those of this client.")] = None,
    provider: Annotated[str | None, typer.Option(help="Only those of this provider.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also those that enrolment makes: for renewal, and for proofs of the ledger.")
    ] = False,
    at: At = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the grants that were ever made between members; --all and --json: every one."""
    with error_lines():
        now = view(state, at)
        for named in filter(None, (client, provider)):
            known(named, now.subsystems, "subsystem")
        found = {
            name: _flat(now, one)
            for name, one in now.grants.items()
            if client in (None, one.client) and provider in (None, one.provider)
        }
        own = frozenset() if every else {name for name, one in found.items() if _of_the_bus(one)}
        columns: Columns = {
            "grant": "name",
            "client": lambda one: _party(one, "client"),
            "provider": lambda one: _party(one, "provider"),
            "until": _until,
            "for": _what_for,
        }
        list_entries(found, columns, as_json, hidden=own)
        if own and not as_json:
            typer.echo(f"{len(own)} more that enrolment made, for renewal and proofs: --all", err=True)


def _of_the_bus(entry: Mapping[str, Any]) -> bool:
    return all(purpose.startswith(_BUS_PURPOSES) for purpose in entry["purposes"])


def _party(entry: Mapping[str, Any], role: str) -> str:
    """Its path; of one that is suspended, that it is: its callers are told of no grant."""
    return f"{entry[role]} (suspended)" if entry[f"{role}_suspended"] else str(entry[role])


def _until(entry: Mapping[str, Any]) -> str:
    """The day; of what is over, that it is."""
    if entry["revoked"]:
        return f"revoked {entry['revoked'][:10]}"
    return str(entry["not_after"])[:10] if entry["not_after"] > (iso(now_ms()) or "") else "ended"


def _what_for(entry: Mapping[str, Any]) -> str:
    """Purposes, and methods by the names that are no package."""
    methods = " ".join(one.rpartition("/")[2] for one in entry["methods"])
    return f"{' '.join(entry['purposes'])}: {methods}"


@app.command()
def show(grant_id: GrantId, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one grant."""
    with error_lines():
        now = view(state, at)
        known(grant_id, now.grants, "grant")
        show_entry({grant_id: _flat(now, now.grants[grant_id])}, grant_id, "grant", as_json)


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


def _flat(now: RegistryState, entry: GrantEntry) -> dict[str, Any]:
    """As one object, with since when its parties are suspended, by themselves or with their members."""
    shown: dict[str, Any] = plain(entry)
    grant: dict[str, Any] = shown.pop("grant")
    since = {f"{role}_suspended": now.suspended_since(getattr(entry, role)) for role in ("client", "provider")}
    return grant | shown | {name: iso(one) for name, one in since.items()}


def _note_new_purposes(now: RegistryState, purposes: list[str]) -> None:
    """A purpose needs no registration, so a slip of the pen would be one more: say if it looks like one."""
    known = {each for one in now.grants.values() for each in one.grant.purposes}
    for one in purposes:
        if one not in known and (meant := did_you_mean(one, known)):
            typer.echo(
                f"govbus: no other grant is for {one}{meant} If so, revoke this grant and make another", err=True
            )


def _methods(now: RegistryState, text: str) -> list[str]:
    """A pattern `/package.Service/*` is all methods that the service has at this moment."""
    if not text.endswith("/*"):
        return [text]
    found = now.services.get(text[1:-2])
    return [method.path for method in found.methods] if found else [text]
