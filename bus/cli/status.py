"""`govbus status`: is all of it up? A line in short, then a line a part, what is wrong first and what happens next."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from bus.cli.output import NEGATIVE, echo_json, error_lines, print_table
from bus.cli.status_text import age_text, all_facts, brief
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.up.layout import Facts, Layout
from bus.up.report import Part, State, look
from bus.up.report_parts import ENDING

__all__ = ["status"]

_SERVING: Final = (State.UP, State.STALE)
_WORST_FIRST: Final = (State.DOWN, State.STALE, State.STARTING, State.UP)


def status(
    state: StateOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All facts of every part.")] = False,
    serving: Annotated[
        bool, typer.Option("--serving", help="Exit code 0 as long as calls are served: for a container's health check.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show every part: up, or stale since when, and what happens next. Exit code 1 unless all are up.

    Exit codes: 0 all parts are up (with --serving: calls are served), 1 something is not, 2 no instance is here.
    """
    with error_lines():
        layout, now_ms = layout_of(state), time.time_ns() // 1_000_000
        facts, parts = layout.expect(), look(layout, now_ms)
        up = all(one.state is State.UP for one in parts)
        serves = all(one.state in _SERVING for one in parts if one.part.startswith("broker"))
        if as_json:
            found = {"state": str(layout.state), "trust_domain": facts.trust_domain, "up": up, "serving": serves}
            echo_json(found | {"parts": [asdict(one) for one in parts]})
        else:
            _show(layout, facts, parts, datetime.fromtimestamp(now_ms / 1000, UTC), verbose=verbose)
    if not (serves if serving else up):
        raise typer.Exit(NEGATIVE)


def _show(layout: Layout, facts: Facts, parts: list[Part], now: datetime, *, verbose: bool) -> None:
    ordered = sorted(parts, key=lambda one: _WORST_FIRST.index(one.state))
    rows = [(one.state, one.part, brief(one, now, str(layout.state))) for one in ordered]
    below = [[*_next(one), *(all_facts(one) if verbose else ())] for one in ordered]
    title = f"{facts.trust_domain}: {_summary(parts)}\nin {layout.state}\n"
    print_table(("", "", ""), rows, title=title, below=below)


def _next(part: Part) -> list[str]:
    since = f"since {part.since}: " if part.since and part.state is not State.UP else ""
    return [f"-> {since}{part.next}"] if part.next else []


def _summary(parts: list[Part]) -> str:
    """All in one line."""
    wrong = sum(one.state is not State.UP for one in parts)
    if any(one.part == "supervisor" and one.state is State.DOWN for one in parts):
        return "it does not run"
    ending = any(one.part == "supervisor" and one.facts.get("phase") == ENDING for one in parts)
    said = ["it is being ended"] if ending else []
    said += [f"{wrong} of {len(parts)} parts not up" if wrong else f"all {len(parts)} parts up"]
    brokers = [one for one in parts if one.part.startswith("broker")]
    if wrong:
        serving = sum(one.state in _SERVING for one in brokers)
        said.append("calls are served" if serving else "no calls are served")
    for one in parts:
        if one.part == "publisher" and one.facts.get("version"):
            said.append(f"policy version {one.facts['version']}, {age_text(one.facts['age_s'])} old")
    return ", ".join(said)
