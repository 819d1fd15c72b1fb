"""`govbus member`: the organisations of the instance."""

from typing import Annotated

import typer

from bus.cli.output import Unable, error_lines
from bus.cli.registry_open import At, Operator, Reason, change, view
from bus.cli.registry_show import Columns, list_entries, show_entry, state_of
from bus.cli.up import JsonOption, StateOption
from bus.registry.members import MemberAdded, MemberRenamed, MemberResumed, MemberSuspended

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The organisations: add, list, show, rename, suspend, resume.")

Member = Annotated[str, typer.Argument(help="<class>/<code>, for example gov/mps.")]
NameVi = Annotated[str, typer.Option(help="Its name in Vietnamese.")]
NameEn = Annotated[str, typer.Option(help="Its name in English.")]


@app.command()
def add(
    member: Member,
    name_vi: NameVi,
    name_en: NameEn,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """An organisation joins."""
    with error_lines():
        member_class, separator, code = member.partition("/")
        if not separator:
            raise Unable("write a member as <class>/<code>, for example gov/mps")
    change(state, operator, reason, as_json, lambda _: [MemberAdded(member_class, code, name_vi, name_en)])


@app.command("list")
def list_(at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List all members."""
    with error_lines():
        columns: Columns = {
            "member": "name",
            "state": state_of,
            "name in English": "name_en",
            "in Vietnamese": "name_vi",
        }
        list_entries(view(state, at).members, columns, as_json)


@app.command()
def show(member: Member, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one member."""
    with error_lines():
        show_entry(view(state, at).members, member, "member", as_json)


@app.command()
def rename(
    member: Member,
    name_vi: NameVi,
    name_en: NameEn,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Other names for people; the code stays."""
    change(state, operator, reason, as_json, lambda _: [MemberRenamed(member, name_vi, name_en)])


@app.command()
def suspend(
    member: Member, reason: Reason, operator: Operator = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """None of its subsystems calls or serves until it is resumed."""
    change(state, operator, reason, as_json, lambda _: [MemberSuspended(member)])


@app.command()
def resume(
    member: Member, reason: Reason, operator: Operator = None, state: StateOption = None, as_json: JsonOption = False
) -> None:
    """End a suspension."""
    change(state, operator, reason, as_json, lambda _: [MemberResumed(member)])
