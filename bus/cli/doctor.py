"""`govbus doctor`: looks for the usual misconfigurations; each finding says what to do."""

from dataclasses import asdict

import typer

from bus.cli.output import NEGATIVE, echo_json, error_lines, print_table
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.up.doctor import Level, examine

__all__ = ["doctor"]


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
        rows = [(one.check, one.level, one.found, one.do or "-") for one in found]
        print_table(("check", "", "found", "do"), rows)
    if wrong:
        raise typer.Exit(NEGATIVE)
