"""`govbus status`: each part of the instance: up, or stale since when, and what happens next."""

import time
from dataclasses import asdict
from typing import Annotated, Any

import typer

from bus.cli.output import NEGATIVE, echo_json, error_lines, print_table
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.up.report import Part, State, look

__all__ = ["status"]

_SERVING = (State.UP, State.STALE)


def status(
    state: StateOption = None,
    serving: Annotated[
        bool, typer.Option("--serving", help="Exit code 0 as long as calls are served: for a container's health check.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every part: up, or stale since when, and what happens next. Exit code 1 unless all are up."""
    with error_lines():
        layout = layout_of(state)
        facts, parts = layout.expect(), look(layout, time.time_ns() // 1_000_000)
    up = all(one.state is State.UP for one in parts)
    if as_json:
        found = {"state": str(layout.state), "trust_domain": facts.trust_domain, "up": up}
        echo_json(found | {"parts": [asdict(one) for one in parts]})
    else:
        rows = [(one.part, one.state, one.since or "-", _facts(one), one.next or "-") for one in parts]
        print_table(("part", "", "since", "facts", "next"), rows, title=f"{facts.trust_domain} in {layout.state}")
    serves = all(one.state in _SERVING for one in parts if one.part.startswith("broker"))
    if not (serves if serving else up):
        raise typer.Exit(NEGATIVE)


def _facts(part: Part) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in part.facts.items() if value not in (None, {}))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={each}" for name, each in value.items() if each is not None)
    return str(value)
