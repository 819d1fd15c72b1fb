"""What a deployment file starts, held to the real command line."""

from typing import Any

import typer.main
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bus.cli.main import application

__all__ = ["TyperException", "verify_command"]


def verify_command(arguments: list[str]) -> None:
    """`govbus` with these arguments is a command with these options; TyperException says what is none.

    Nothing is run: a context parses and no more.
    """
    command: Any = typer.main.get_command(application())
    context = None
    while isinstance(command, TyperGroup):
        context = command.make_context(command.name, arguments, parent=context)
        _, command, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(command.name, arguments, parent=context).close()
