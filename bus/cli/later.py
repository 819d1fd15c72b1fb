"""A group of commands that imports the one that was asked for, when it is asked for.

The list of a group's commands is a table: name, module, what stands there, one line of help. `govbus --help`, a wrong
name and its suggestions, and the completion of names are answered from the table. A command becomes real where the
command line is parsed for it (`make_context`), so that its own help, its options and its exit codes are Typer's.
"""

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, ClassVar

import typer
import typer.main
from typer.core import TyperCommand, TyperGroup

__all__ = ["Later", "LaterGroup", "Place"]

Place = tuple[str, str]
"""`module:name`, the name being a function's or, for a group, a typer.Typer's; and the line that a list shows."""


class Later(TyperCommand):
    """The name and the line of a command that is not imported yet."""

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name, help=place[1])
        self._place = place[0]

    @cached_property
    def real(self) -> TyperCommand | TyperGroup:
        """The command itself; imports its module."""
        module, _, name = self._place.partition(":")
        found = getattr(import_module(module), name)
        made = typer.Typer(rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            made.add_typer(found, name=self.name)
        else:
            made.command(self.name)(found)
        (command,) = typer.main.get_group(made).commands.values()
        if not isinstance(command, TyperCommand | TyperGroup):
            raise TypeError(f"{self._place} is no command")
        return command

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command: from here on nothing knows that it came later."""
        return self.real.make_context(info_name, args, parent=parent, **extra)


class LaterGroup(TyperGroup):
    """Give a subclass its `places`; what is registered with Typer itself comes first in the list."""

    places: ClassVar[Mapping[str, Place]] = {}

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, place in self.places.items():
            self.add_command(Later(name, place))
