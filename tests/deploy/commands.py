"""What a deployment file starts, held to the real command line."""

from typing import Any

import typer.main
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bus.cli.main import app

__all__ = ["TyperException", "verify_command"]


def verify_command(arguments: list[str]) -> None:
    """`govbus` with these arguments is a command with these options; TyperException says what is none.

    Nothing is run: a context parses and no more.
    """
    command: Any = typer.main.get_command(app)
    context = command.make_context(command.name, arguments)
    while isinstance(context.command, TyperGroup):
        rest = [*context._protected_args, *context.args]
        name, command, arguments = context.command.resolve_command(context, rest)
        context = command.make_context(name, arguments, parent=context)
    context.close()
