"""`govbus doctor`: looks for the usual misconfigurations; each finding says what to do."""

from dataclasses import asdict
from typing import Final

import typer

from bus.cli.output import NEGATIVE, echo_json, error_lines, print_table
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.up.doctor import Finding, Level, examine

__all__ = ["doctor"]


_WORST_FIRST: Final = (Level.WRONG, Level.WARNING, Level.OK)


def doctor(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Look for the usual misconfigurations and say what to do. Exit code 1 if anything is wrong."""
    with error_lines():
        layout = layout_of(state)
        layout.expect()
        found = examine(layout)
    wrong = any(one.level is Level.WRONG for one in found)
    if as_json:
        echo_json({"state": str(layout.state), "well": not wrong, "findings": [asdict(one) for one in found]})
    else:
        ordered = sorted(found, key=lambda one: _WORST_FIRST.index(one.level))
        rows = [(one.level, one.check, one.found) for one in ordered]
        below = [[f"-> {one.do}"] if one.do else [] for one in ordered]
        print_table(("", "", ""), rows, title=f"{_summary(found)}\n", below=below)
    if wrong:
        raise typer.Exit(NEGATIVE)


def _summary(found: list[Finding]) -> str:
    bad = [f"{sum(one.level is level for one in found)} {level}" for level in _WORST_FIRST[:2]]
    said = ", ".join(one for one in bad if not one.startswith("0 ")) or "nothing is wrong"
    return f"{len(found)} things were looked at: {said}"
