"""How the command line answers one who gives a command wrongly, and how it lists its commands.

A wrong name, flag or number is one line on stderr, like every other error, and exit code 2. Help is plain text: the
same on a terminal, in a pipe and in a file.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

__all__ = ["TopicGroup"]

_INTERRUPTED = 130


class TopicGroup(TyperGroup):
    """Give a subclass its `topics`: a heading, and the names of the commands under it."""

    topics: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Parse, run, end with the exit code; what could not be parsed is one line."""
        try:
            code = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except typer.TyperException as error:
            if not standalone_mode:
                raise
            _tell(error)
            sys.exit(error.exit_code)
        except typer.Abort:  # Ctrl-C, or the end of the input, where something was asked
            if not standalone_mode:
                raise
            typer.echo("govbus: nothing was done", err=True)
            sys.exit(_INTERRUPTED)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """By topic, each with the first sentence that it says of itself."""
        for topic, names in self.topics.items():
            with formatter.section(topic):
                formatter.write_dl([(name, _first_sentence(self.commands[name].help or "")) for name in names])


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _tell(error: typer.TyperException) -> None:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(error.format_message(), err=True)
        return
    said = " ".join(error.format_message().split()).replace(". Did you mean", "; did you mean").removesuffix(".")
    help_of = f"{'' if said.endswith('?') else '.'} See `{context.command_path} --help`" if context is not None else ""
    typer.echo(f"govbus: {said[:1].lower()}{said[1:]}{help_of}", err=True)
