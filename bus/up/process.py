"""The supervisor as a process: one a state directory (a lock says so), in the background, found and ended by others.

The lock is the truth, the number in it only says whom to signal: a file that outlived its process, however that died,
keeps nobody out, and a pid that now belongs to another process is never signalled.
"""

import contextlib
import fcntl
import os
import select
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from bus.engines.records import Records
from bus.engines.supervisor import EngineError
from bus.up.layout import Layout
from pki.files import ensure_private_directory

__all__ = ["AlreadyRunning", "end_supervisor", "guardian_pid", "instance_lock", "supervisor_pid"]


class AlreadyRunning(EngineError):
    """A supervisor runs from this directory, or is started again by its guardian."""

    def __init__(self, layout: Layout) -> None:
        state = shlex.quote(str(layout.state))
        super().__init__(
            f"this instance already runs from {layout.state}, or is being started; look with `govbus status --state"
            f" {state}`, end it with `govbus down --state {state}`"
        )


@contextlib.contextmanager
def instance_lock(layout: Layout) -> Iterator[None]:
    """Be the one supervisor of this state directory; AlreadyRunning otherwise."""
    ensure_private_directory(layout.supervisor)
    descriptor = os.open(_file(layout), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor):
            raise AlreadyRunning(layout)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def supervisor_pid(layout: Layout) -> int | None:
    """The process that holds the lock; None when nobody does."""
    return _holder(_file(layout))


def guardian_pid(layout: Layout) -> int | None:
    """The process that starts the supervisor again (bus.up.guardian); None when nobody does."""
    return _holder(layout.supervisor / "guardian")


def end_supervisor(layout: Layout, seconds: float) -> bool:
    """Ask it to end everything in order, and its guardian, and wait; False when none ran. EngineError after that time.

    Then the guardian has ended too, or it is of a supervisor that somebody started meanwhile. What a killed supervisor
    left running is ended as well.
    """
    layout.wanted.unlink(missing_ok=True)
    ended = _end("supervisor", partial(supervisor_pid, layout), seconds)
    ended = _end("supervisor's guardian", partial(guardian_pid, layout), seconds) or ended
    return _end_left(layout) or ended


def _end_left(layout: Layout) -> bool:
    if not Records(layout.engines).pids():
        return False
    from bus.up.left import end_left  # Envoy's and PostgreSQL's side of it, which hardly ever is needed here

    try:
        with instance_lock(layout):  # nobody goes on with it meanwhile
            return end_left(layout)
    except AlreadyRunning:  # somebody does, by now
        return False


def _end(what: str, find: Callable[[], int | None], seconds: float) -> bool:
    pid = find()
    if pid is None:
        return False
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if find() != pid:  # it ended just now, and its number may be another's
            return True
        signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        if not select.select([pidfd], [], [], seconds)[0]:
            raise EngineError(
                f"the {what}, process {pid}, has not ended after {seconds:g} s; look with `govbus logs supervisor`,"
                f" and if nothing helps: kill -9 {pid}, and then govbus down again"
            )
    except ProcessLookupError:
        return True
    finally:
        os.close(pidfd)
    return True


def _holder(lock: Path) -> int | None:
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    """Try for half a second: whoever looks at the lock holds it for a moment."""
    for _ in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _file(layout: Layout) -> Path:
    return layout.supervisor / "lock"
