"""A console that says when its reader has gone, as `head` does: told like any write to a closed pipe."""

import errno

from rich.console import Console

__all__ = ["PipeConsole"]


class PipeConsole(Console):
    """Raises BrokenPipeError, where rich would end the process with exit code 1."""

    def on_broken_pipe(self) -> None:
        """See rich.console.Console."""
        self.quiet = True
        raise BrokenPipeError(errno.EPIPE, "the reader has gone")
