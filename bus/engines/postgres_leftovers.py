"""What an earlier run may have left in a data directory: a server that still runs, or a lock file that lies.

1. A postmaster of this data directory that has lost its supervisor is ended in order; its clients' transactions abort.
2. A lock file whose pid now belongs to some other process would keep PostgreSQL from starting. The pid is replaced by
   the starter's own, which PostgreSQL knows to be no postmaster. The rest of the file stays: by it PostgreSQL finds out
   whether orphaned backends still hold its shared memory, and then refuses to start, rightly.
The caller holds the lock on the state directory: nobody else starts a server here.
"""

import contextlib
import os
import select
import signal
from pathlib import Path

__all__ = ["end_process", "settle_leftovers"]

_STEPS = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
"""Fast shutdown, immediate shutdown, and the last resort (postgres(1), "Signals")."""


def settle_leftovers(data: Path) -> None:
    """Make `data` fit to be started; returns when no postmaster runs on it."""
    lock = data / "postmaster.pid"
    try:
        content = lock.read_bytes()
        pid = int(content.split(b"\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    try:
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError):
        return  # nobody has this pid: PostgreSQL sees that by itself
    try:
        if _runs_in(pid, data):
            end_process(pidfd)
        else:
            # Written in place: owner and mode stay, and PostgreSQL has checked neither yet.
            lock.write_bytes(b"%d\n%s" % (os.getpid(), content.partition(b"\n")[2]))
    finally:
        os.close(pidfd)


def end_process(pidfd: int) -> None:
    """End the postmaster behind `pidfd`: fast, then immediately, each bounded."""
    for number, seconds in _STEPS:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)
        if select.select([pidfd], [], [], seconds)[0]:
            return


def _runs_in(pid: int, data: Path) -> bool:
    """A postmaster works in its data directory; any other process somewhere else."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").stat().st_ino == data.stat().st_ino and Path(f"/proc/{pid}/cwd").samefile(data)
    return False
