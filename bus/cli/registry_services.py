"""`govbus service`: the contracts that are registered, and who offers them."""

from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import error_lines
from bus.cli.registry_open import At, Operator, Reason, change, view
from bus.cli.registry_show import list_entries, show_entry
from bus.cli.up import JsonOption, StateOption
from bus.registry.contracts import contract_changes
from bus.registry.services import ServiceOffered, ServiceWithdrawn

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Contracts and who offers them: add, list, show, offer, withdraw.")

Subsystem = Annotated[str, typer.Argument(help="Who serves it, <class>/<member>/<subsystem>.")]
Service = Annotated[str, typer.Argument(help="package.Service, for example vn.population.v1.PopulationService.")]


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A FileDescriptorSet, as `buf build -o` and `protoc -o` write it.")],
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register every service that the file declares, or revise those that are known."""
    with error_lines():
        image = file.read_bytes()
    change(state, operator, reason, as_json, lambda now: contract_changes(now, image))


@app.command("list")
def list_(at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List all registered services, and by whom they are offered."""
    with error_lines():
        now = view(state, at)
        found = {
            name: {
                "methods": [method.path.rpartition("/")[2] for method in one.methods],
                "offered_by": [path for path, each in now.subsystems.items() if name in each.services],
                "image": one.image.hex(),
            }
            for name, one in now.services.items()
        }
        list_entries(found, {"service": "name", "offered by": "offered_by", "methods": "methods"}, as_json)


@app.command()
def show(service: Service, at: At = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Show one service with its methods' kinds and limits."""
    with error_lines():
        show_entry(view(state, at).services, service, "service", as_json)


@app.command()
def offer(
    subsystem: Subsystem,
    service: Service,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """SUBSYSTEM serves SERVICE from now on."""
    change(state, operator, reason, as_json, lambda _: [ServiceOffered(subsystem, service)])


@app.command()
def withdraw(
    subsystem: Subsystem,
    service: Service,
    reason: Reason,
    operator: Operator = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """It is not served any more; grants for it are revoked before."""
    change(state, operator, reason, as_json, lambda _: [ServiceWithdrawn(subsystem, service)])
