"""Run as a script, in the child's place: ask the kernel to end it with its parent, then become the engine.

    python -I -S tether.py PARENT-PID COMMAND...

PR_SET_PDEATHSIG (prctl(2)) survives execve. The signal comes when the parent *thread* ends, hence rule 1 of
bus.engines.supervisor. SIGTERM, not SIGKILL: even then the engine closes its files in order. A parent that was gone
before we asked is noticed by its pid.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tether and exec; ends with status 1 when the parent is gone already."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        sys.exit("prctl(PR_SET_PDEATHSIG) failed: the engine would outlive its supervisor")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    # A mask survives execve too: whoever started us may have blocked what the engine must hear.
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


if __name__ == "__main__":
    main()
