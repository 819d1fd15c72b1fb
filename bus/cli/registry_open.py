"""What the registry's commands share: the running instance's registry, who does it and why, and what they print.

They are for the operator of the machine itself, who can read the state directory: they work on the registry's database
directly. Everybody else's changes come through the bus.
"""

import getpass
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from bus.cli.near import did_you_mean
from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines
from bus.cli.registry_show import plain
from bus.cli.up import layout_of
from bus.registry.change import Change
from bus.registry.fold import Act
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.registry import Registry
from bus.registry.state import RegistryState
from bus.registry.store import EventStore
from bus.up.clock import instance_clock, now_ms
from bus.up.database import registry_database
from bus.up.force import wait_in_force
from bus.up.layout import Layout

__all__ = [
    "At",
    "Operator",
    "Reason",
    "change",
    "now_ms",
    "open_registry",
    "parse_time",
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

_NAMES: Final[Mapping[RefusalReason, Callable[[RegistryState], Collection[str]]]] = {
    RefusalReason.UNKNOWN_MEMBER: lambda now: now.members,
    RefusalReason.UNKNOWN_SUBSYSTEM: lambda now: now.subsystems,
    RefusalReason.UNKNOWN_SERVICE: lambda now: now.services,
    RefusalReason.UNKNOWN_METHOD: lambda now: now.methods,
    RefusalReason.UNKNOWN_GRANT: lambda now: now.grants,
}
"""What a change may have meant that named something else."""

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
            now = registry.state()
            wanted = changes(now)
            several, files = wanted if isinstance(wanted, tuple) and isinstance(wanted[1], Mapping) else (wanted, {})
            act = Act(operator or f"local:{_account()}", reason)
            try:
                events = registry.record(list(several), act, files)
            except Refusal as refusal:
                raise Unable(f"{refusal}{_meant(refusal, several, now)}") from refusal
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


def _meant(refusal: Refusal, changes: Sequence[Change], now: RegistryState) -> str:
    """Where a change names what nobody knows: the name that it perhaps meant."""
    if refusal.reason not in _NAMES:
        return ""
    values = [value for change in changes for value in plain(change).values()]
    words = [word for value in values for word in (value if isinstance(value, list) else [value])]
    wrong = [one for one in words if isinstance(one, str) and not any(one in names(now) for names in _NAMES.values())]
    wrong.sort(key=lambda word: word not in str(refusal))
    return next(filter(None, (did_you_mean(word, _NAMES[refusal.reason](now)) for word in wrong)), "")


def view(state: Path | None, at: int | None) -> RegistryState:
    """The registry's state now, or right after position `at`."""
    with open_registry(layout_of(state)) as registry:
        try:
            return registry.state() if at is None else registry.state_at(at)
        except ValueError as error:
            raise Unable(str(error)) from error


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
