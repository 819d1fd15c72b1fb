"""`govbus version`."""

from importlib.metadata import version as distribution_version
from typing import Annotated

import typer

__all__ = ["version"]


def version(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")] = False) -> None:
    """Print the version of the installed distribution."""
    found = distribution_version("govbus")
    if as_json:
        from bus.cli.output import echo_json

        echo_json({"version": found})
    else:
        typer.echo(found)
