"""`govbus instance`: what an operator does to an instance on disk: publish its policy, renew its certificates."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import echo_json, error_lines, print_table
from bus.edge.instance import Instance
from pki.identity import parse_spiffe_id

__all__ = ["app"]

_MISSING = (
    "name the state directory of an instance made from policy.yaml; one that runs by govbus up publishes by itself"
)

app = typer.Typer(no_args_is_help=True, help="Publish an instance's policy, renew its certificates.")

State = Annotated[Path, typer.Argument(help="The instance's state directory.")]


@app.command()
def publish(state: State) -> None:
    """Compile policy.yaml into the next version; running brokers and providers take it over by themselves."""
    with error_lines(_MISSING):
        compiled = Instance.open(state).publish(now=datetime.now(UTC))
        typer.echo(f"version {compiled.version} published to {len(compiled.snapshots)} scopes")


@app.command()
def renew(
    state: State,
    paths: Annotated[list[str] | None, typer.Argument(help="<class>/<member>/<subsystem>; default: everyone.")] = None,
) -> None:
    """Issue new TLS certificates (they live 24 h) and publish the version in which they are live."""
    with error_lines(_MISSING):
        compiled = Instance.open(state).renew(now=datetime.now(UTC), paths=paths)
        typer.echo(f"renewed; version {compiled.version} published")


@app.command()
def show(state: State, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the subsystems of an instance and where they listen."""
    with error_lines(_MISSING):
        instance = Instance.open(state)
        document = instance.policy()
        rows = [
            (
                parse_spiffe_id(one.id).path,
                "broker" if one.is_broker else "provider" if one.id in document.endpoints else "client",
                "yes" if one.active else "no",
                " ".join(str(endpoint) for endpoint in document.endpoints.get(one.id, ())),
            )
            for one in document.tables.subsystems
        ]
        columns = ("subsystem", "role", "active", "endpoints")
        if as_json:
            subsystems = [dict(zip(columns, row, strict=True)) for row in rows]
            echo_json({"trust_domain": instance.trust_domain, "version": instance.version, "subsystems": subsystems})
            return
        print_table(columns, rows, title=f"{instance.trust_domain}, policy version {instance.version}")
