"""What the registry's commands share: the running instance's registry, who does it and why, and what they print.

They are for the operator of the machine itself, who can read the state directory: they work on the registry's database
directly. Everybody else's changes come through the bus.
"""

import getpass
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines, print_table
from bus.cli.up import layout_of
from bus.edge.endpoint import Endpoint
from bus.registry.change import Change
from bus.registry.fold import Act
from bus.registry.registry import Registry
from bus.registry.state import RegistryState
from bus.registry.store import EventStore
from bus.up.clock import instance_clock, now_ms
from bus.up.database import registry_database
from bus.up.force import wait_in_force
from bus.up.layout import Layout
from bus.up.report_parts import iso
from pki.identity import SubsystemId

__all__ = [
    "At",
    "Operator",
    "Reason",
    "change",
    "digest_like",
    "list_entries",
    "now_ms",
    "open_registry",
    "parse_time",
    "plain",
    "show_entry",
    "view",
]

Operator = Annotated[
    str | None,
    typer.Option(
        envvar="GOVBUS_OPERATOR", show_envvar=True, help="Account that does it. Default: local:<your account>."
    ),
]
Reason = Annotated[str, typer.Option(help="Why; recorded for ever, so name no person.")]
At = Annotated[int | None, typer.Option(min=1, help="As it was right after this position of the log.")]

_LIMITS: Final = frozenset({"calls_per_second", "burst", "calls_per_day", "bytes_per_day"})

Changes = Sequence[Change] | tuple[Sequence[Change], Mapping[bytes, bytes]]


@contextmanager
def open_registry(layout: Layout) -> Iterator[Registry]:
    """The registry of a running instance, for this process."""
    layout.expect()
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # what matters of it is raised
    database = registry_database(layout)
    database.connect(autocommit=True).close()  # said at once: the store's pool waits for a server to come back
    with EventStore(database, migrating=False) as store:
        yield Registry(store, instance_clock(layout), layout.checkpoint)


def change(
    state: Path | None,
    operator: str | None,
    reason: str,
    as_json: bool,
    changes: Callable[[RegistryState], Changes],
) -> None:
    """Record what `changes` makes of the newest state and wait until it is in force; exit code 1 if it is not yet."""
    with error_lines():
        layout = layout_of(state)
        with open_registry(layout) as registry:
            wanted = changes(registry.state())
            several, files = wanted if isinstance(wanted, tuple) and isinstance(wanted[1], Mapping) else (wanted, {})
            act = Act(operator or f"local:{_account()}", reason)
            events = registry.record(list(several), act, files)
        position = events[-1].position
        found = wait_in_force(layout, position)
    if as_json:
        recorded = [{"position": event.position, "kind": event.change.kind} for event in events]
        force = None if found is None else {"version": found.version, "seconds": round(found.seconds, 3)}
        echo_json({"recorded": recorded, "operator": act.operator, "in_force": force})
    else:
        for event in events:
            typer.echo(f"recorded at position {event.position}: {event.change.kind}")
        if found is not None:
            typer.echo(f"in force with policy version {found.version}, {found.seconds:.1f} s after it was recorded")
    if found is None:
        typer.echo("govbus: recorded, but not in force yet; look why with `govbus status`", err=True)
        raise typer.Exit(NEGATIVE)


def view(state: Path | None, at: int | None) -> RegistryState:
    """The registry's state now, or right after position `at`."""
    with open_registry(layout_of(state)) as registry:
        try:
            return registry.state() if at is None else registry.state_at(at)
        except ValueError as error:
            raise Unable(str(error)) from error


def list_entries(entries: Mapping[str, Any], columns: Sequence[str], as_json: bool) -> None:
    """A table with these fields of each entry; everything with --json."""
    found = [{"name": name} | plain(entry) for name, entry in entries.items()]
    if as_json:
        echo_json(found)
        return
    print_table(("name", *columns), [(one["name"], *(_shown(column, one) for column in columns)) for one in found])


def show_entry(entries: Mapping[str, Any], name: str, what: str, as_json: bool) -> None:
    """All of one entry."""
    if name not in entries:
        raise Unable(f"there is no {what} {name}; see `govbus {what} list`")
    found = {"name": name} | plain(entries[name])
    if as_json:
        echo_json(found)
    else:
        print_table(("", ""), [(key, _shown(key, found)) for key in found])


def digest_like(entries: Mapping[bytes, Any], text: str, what: str) -> bytes:
    """The key of `entries` that is written `text`: all of its hex digits, or its first eight or more."""
    found = [one for one in entries if one.hex().startswith(text.lower())] if len(text) >= 8 else []
    if len(found) != 1:
        said = "give more digits" if found else "give eight or more of its first hex digits"
        raise Unable(f"{len(found) or 'no'} {what} begins with {text}; {said}; see `govbus {what} list`")
    return found[0]


def plain(value: Any) -> Any:
    """Registry values as JSON knows them: bytes in hex, times as text, identities as paths."""
    if isinstance(value, SubsystemId):
        return value.path
    if isinstance(value, Endpoint):
        return str(value)
    if is_dataclass(value):
        return dict(_field(one.name, getattr(value, one.name)) for one in fields(value))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return value


def _field(name: str, value: Any) -> tuple[str, Any]:
    """`suspended_ms` is shown as the time `suspended`; a duration, such as `max_lifetime_ms`, stays a number."""
    if name.endswith("_ms") and (value is None or value > 10**11):
        return name.removesuffix("_ms"), iso(value)
    return name, plain(value)


def _shown(name: str, entry: Mapping[str, Any]) -> str:
    """One field for people: a limit of 0 is none."""
    if name in _LIMITS and entry[name] == 0:
        return "as many as in a second" if name == "burst" and entry["calls_per_second"] else "no limit"
    return _text(entry[name])


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(_text(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return str(value)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def parse_time(text: str, what: str) -> int:
    """`2027-01-31` or `2027-01-31T08:00:00Z` in milliseconds."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Unable(f"{what}: write a time as 2027-01-31 or 2027-01-31T08:00:00Z") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
