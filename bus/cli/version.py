"""`govbus version`."""

from importlib.metadata import version as distribution_version

import typer

__all__ = ["version"]


def version() -> None:
    """Print the version of the installed distribution."""
    typer.echo(distribution_version("govbus"))
