"""`govbus history`: the registry's log: what changed, when, who did it and why. Its chain is checked on the way."""

from typing import Annotated

import typer

from bus.cli.output import Unable, echo_json, error_lines, print_table
from bus.cli.registry_open import open_registry
from bus.cli.registry_show import plain
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.up.report_parts import iso

__all__ = ["history"]


def history(
    after: Annotated[int, typer.Option(min=0, help="Only events behind this position.")] = 0,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what changed in the registry, who did it and why."""
    with error_lines(), open_registry(layout_of(state)) as registry:
        try:
            events = list(registry.history(after))
        except ValueError as error:
            raise Unable(str(error)) from error
        found = [
            {
                "position": one.position,
                "time": iso(one.time_ms),
                "operator": one.operator,
                "reason": one.reason,
                "kind": one.change.kind,
                "change": plain(one.change),
                "hash": one.hash.hex(),
            }
            for one in events
        ]
        if as_json:
            echo_json(found)
            return
        columns = ("position", "time", "kind", "operator", "reason")
        print_table(columns, [tuple(str(one[column]) for column in columns) for one in found])
