"""A pipe with a name (fifo(7)) that hands one secret to one reader, another one to the next, and stores none.

1. The pipe is private, 0600. What lies in its place and is none, a file or a link, is never written to: EngineError.
2. As soon as a reader is there the pipe gets a successor under its name: whoever comes later waits at that one. So a
   secret goes to one reader; should two have been at the same pipe, one of them finds the end and no byte.
3. A secret is one write of at most PIPE_BUF bytes: a reader has all of it or none.
4. A pipe that an earlier process left is taken over: somebody may wait at it.
"""

import contextlib
import os
import select
import stat
from pathlib import Path

from bus.engines.supervisor import EngineError

__all__ = ["KeyPipe"]


class KeyPipe:
    """The writer's side; one thread's."""

    def __init__(self, path: Path) -> None:
        """Make the pipe, or take over the one that is there; EngineError for anything else in its place."""
        self._path = path
        self._reader: int | None = None
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        self._verify(path.lstat())

    def asked(self) -> bool:
        """Whether somebody waits for a secret; it stays so until `give`, `refuse`, or that one goes away."""
        if self._reader is None:
            self._reader = self._open()
            if self._reader is None:
                return False
            self._succeed()
        poll = select.poll()
        poll.register(self._reader, 0)
        if poll.poll(0):  # POLLERR: the reader has closed its side
            self.refuse()
        return self._reader is not None

    def give(self, secret: bytes) -> bool:
        """Hand it over; False when the reader went away meanwhile: then nobody has it, and nobody ever will."""
        assert self._reader is not None  # noqa: S101 (only after `asked`)
        if len(secret) > select.PIPE_BUF:
            raise ValueError("a secret is longer than a pipe takes at once")
        try:
            return os.write(self._reader, secret) == len(secret)
        except BrokenPipeError:
            return False
        finally:
            self.refuse()

    def refuse(self) -> None:
        """Let the reader find an end and no secret."""
        if self._reader is not None:
            os.close(self._reader)
            self._reader = None

    def _open(self) -> int | None:
        """The side to write to if somebody reads; None otherwise."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self._verify(self._path.lstat())
            return None
        try:
            self._verify(os.fstat(descriptor))
        except EngineError:
            os.close(descriptor)
            raise
        return descriptor

    def _succeed(self) -> None:
        successor = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        successor.unlink(missing_ok=True)
        os.mkfifo(successor, 0o600)
        successor.replace(self._path)

    def _verify(self, found: os.stat_result) -> None:
        if not stat.S_ISFIFO(found.st_mode):
            raise EngineError(
                f"{self._path} is not the pipe that gives Envoy its gate key; look who put it there, and remove it"
            )
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise EngineError(
                f"{self._path} is not this user's alone (user id {found.st_uid}, mode {stat.S_IMODE(found.st_mode):o});"
                " look who made it, and remove it"
            )
