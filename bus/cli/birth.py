"""`govbus birth`: one birth, told to the citizens' portal of a running nation as a clerk tells it, and what it took.

The family is one of the nation's synthetic people. Each run registers another child: the birth notice gets a number
that nobody used. Of persons only masked numbers are shown.
"""

import asyncio
from typing import Any, Final

import typer

from bus.demo.birth import Told, birth_of, new_notice, tell_portal  # isort: skip - before gRPC
from vn.portal.v1 import portal_pb2 as pb

from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines, print_table
from bus.cli.progress import Progress
from bus.cli.up import JsonOption, StateOption, layout_of, naming
from bus.demo.families import take_family
from bus.demo.report import DemoError
from bus.nation.places import portal_socket
from bus.nation.settled import settled
from bus.up.layout import Layout
from bus.up.process import supervisor_pid

__all__ = ["birth"]

_OUTCOMES: Final = {
    pb.STEP_OUTCOME_DONE: "ok",
    pb.STEP_OUTCOME_ASKED: "asked",
    pb.STEP_OUTCOME_REFUSED: "refused",
    pb.STEP_OUTCOME_SKIPPED: "skipped",
}


def birth(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Register a birth at the citizens' portal of a running nation, and show what it took.

    A synthetic family of the nation has another child with each run. Exit code 1: it was not registered.
    """
    with error_lines():
        layout = layout_of(state)
        named = naming("--state", state)
        people = _people(layout, named)
        try:
            with Progress() as say:
                say("looking for a family among the nation's synthetic people")
                family, wards = take_family(people)
                ward = (wards, family.mother["ward"])
                say("telling the portal; it asks the offices")
                request = birth_of(family, ward, new_notice(), home_list=wards)
                told = asyncio.run(tell_portal(portal_socket(layout), request))
        except DemoError as error:
            raise Unable(str(error)) from error
    if as_json:
        echo_json(_document(told))
    else:
        _show(told, named)
    if told.result is None:
        raise typer.Exit(NEGATIVE)


def _people(layout: Layout, named: str) -> int:
    """How many the nation has; Unable where none runs."""
    layout.expect()
    known = settled(layout)
    if known is None:
        raise Unable(
            f"the instance in {layout.state} has no nation; give it one: govbus down{named}, govbus up --nation{named}"
        )
    if supervisor_pid(layout) is None:
        raise Unable(f"the nation in {layout.state} does not run; start it: govbus up{named}")
    return known.people


def _document(told: Told) -> dict[str, Any]:
    result = told.result
    return {
        "case_id": told.case_id,
        "registered": result is not None,
        "child_number_masked": result.child_number_masked if result else None,
        "card_number_masked": result.card_number_masked if result else None,
        "allowance_granted": result.allowance_granted if result else None,
        "steps": [_step(one) for one in told.steps],
    }


def _step(step: pb.StepEnded) -> dict[str, Any]:
    call = step.call
    return {
        "outcome": _OUTCOMES.get(step.outcome, "unknown"),
        "text": step.text.en,
        "provider": call.provider,
        "method": call.method,
        "purpose": call.purpose,
        "status": call.status,
        "reason": call.reason or None,
        "milliseconds": call.duration_ms,
        "request_id": call.request_id or None,
        "papers": [paper.name.en for paper in step.papers],
    }


def _show(told: Told, named: str) -> None:
    rows = [
        (
            one["outcome"],
            one["provider"] or "-",
            f"{one['milliseconds']} ms",
            one["text"] + (f": {one['reason'] or one['status']}" if one["outcome"] == "refused" else ""),
        )
        for one in map(_step, told.steps)
    ]
    print_table(("", "asked", "took", "for"), rows, title=f"case {told.case_id}, asked by the citizens' portal\n")
    papers = len({paper.paper for paper, _ in told.papers})
    if told.result is None:
        typer.echo("govbus: the birth was not registered; why: govbus logs gov/moj/portal", err=True)
    else:
        typer.echo(
            f"\nregistered: the child's number ends in {told.result.child_number_masked[-4:]};"
            f" {papers} papers that nobody had to bring"
        )
    asked = [one.call.request_id for one in told.steps if one.call.request_id]
    if asked:
        typer.echo(f"what happened to the first call: govbus explain {asked[0]}{named}")
