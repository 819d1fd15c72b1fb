"""How entries of the registry are shown: tables for people, with what one decides by, everything for programs.

    list    a line an entry; --json is a list of objects, each with its `name` and every field of the entry
    show    all of one entry; --json is that one object

Fields are called as the registry's code calls them; `suspended_ms` and the like are told as times: `suspended`.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any, Final

import typer

from bus.cli.near import did_you_mean
from bus.cli.output import Unable, echo_json, print_table
from bus.edge.endpoint import Endpoint
from bus.up.report_parts import iso
from pki.identity import SubsystemId

__all__ = ["SHORT", "Columns", "digest_like", "known", "list_entries", "plain", "short", "show_entry", "state_of"]

SHORT: Final = 12
"""Hex digits of an id that a table shows; a command takes eight or more."""
_LIMITS: Final = frozenset({"calls_per_second", "burst", "calls_per_day", "bytes_per_day"})

Columns = Mapping[str, str | Callable[[Mapping[str, Any]], str]]
"""Of a table: heading, and a field's name or what to make of the entry."""


def list_entries(
    entries: Mapping[str, Any], columns: Columns, as_json: bool, *, hidden: Set[str] = frozenset()
) -> None:
    """A table of all but the `hidden`; everything with --json."""
    found = [{"name": name} | plain(entry) for name, entry in entries.items()]
    if as_json:
        echo_json(found)
        return
    shown = [one for one in found if one["name"] not in hidden]
    if not shown:
        typer.echo("there is nothing to list", err=True)
        return
    rows = [
        tuple(_shown(column, one) if isinstance(column, str) else column(one) for column in columns.values())
        for one in shown
    ]
    print_table(tuple(columns), rows)


def show_entry(entries: Mapping[str, Any], name: str, what: str, as_json: bool) -> None:
    """All of one entry."""
    known(name, entries, what)
    found = {"name": name} | plain(entries[name])
    if as_json:
        echo_json(found)
    else:
        print_table(("", ""), [row for key in found for row in _rows(key, found)])


def known(name: str, entries: Mapping[str, Any], what: str) -> None:
    """Unable, with the name that was perhaps meant, unless there is such an entry."""
    if name not in entries:
        raise Unable(f"there is no {what} {name}{did_you_mean(name, entries)}; see `govbus {what} list`")


def digest_like(entries: Mapping[bytes, Any], text: str, what: str) -> bytes:
    """The key of `entries` that is written `text`: all of its hex digits, or its first eight or more."""
    found = [one for one in entries if one.hex().startswith(text.lower())] if len(text) >= 8 else []
    if len(found) != 1:
        said = "give more digits" if found else "give eight or more of its first hex digits"
        raise Unable(f"{len(found) or 'no'} {what} begins with {text}; {said}; see `govbus {what} list`")
    return found[0]


def short(entry: Mapping[str, Any]) -> str:
    """The first digits of an entry that is named by a digest."""
    return str(entry["name"])[:SHORT]


def state_of(entry: Mapping[str, Any]) -> str:
    """`active`, or what it is instead and since which day."""
    for name in ("revoked", "suspended", "member_suspended"):
        if entry.get(name):
            return f"{name.replace('_', ' ')} {entry[name][:10]}"
    return "active"


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


def _rows(name: str, entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """One, or for each of several objects one."""
    value = entry[name]
    if not value or not isinstance(value, list) or not isinstance(value[0], dict):
        return [(name, _shown(name, entry))]
    return [(name if number == 0 else "", _text(one)) for number, one in enumerate(value)]


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
