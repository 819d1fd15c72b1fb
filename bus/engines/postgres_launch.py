"""Run as a script, in the child's place, after tether.py or hold.py: take its identity, then become PostgreSQL.

    python -I -S postgres_launch.py PARENT-PID UID GID COMMAND...

Changing identity clears the tether (prctl(2), PR_SET_PDEATHSIG), so it is made again here, with the signal that
PostgreSQL takes as a fast shutdown: on SIGTERM it would wait for its clients. PARENT-PID `-`: it goes on without one.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Change identity, tether and exec; ends with status 1 when the parent is gone already."""
    parent, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    command = sys.argv[4:]
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    os.umask(0o077)
    os.chdir("/")
    if parent != "-":
        _tether(int(parent))
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


def _tether(parent: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0) != 0:
        sys.exit("prctl(PR_SET_PDEATHSIG) failed: PostgreSQL would outlive its supervisor")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")


if __name__ == "__main__":
    main()
