"""Run as a script, in the child's place: write down who this is, let go of the parent, then become the engine.

    python -I -S hold.py PARENT-PID RECORD MARK COMMAND...

1. Until RECORD is written the child ends with its parent: nothing ever runs of which nothing is written down.
2. RECORD appears whole, by rename: the machine's start, the pid, when this process started, and MARK, which says what
   the engine was started as. A pid alone may be another's tomorrow; with both times it is nobody else's.
3. A disk that is full keeps no engine from starting: it then ends with its parent, as by tether.py.
"""

import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Tether, write, let go, exec; ends with status 1 when the parent is gone already."""
    parent, record, mark, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0) != 0:
        sys.exit("prctl(PR_SET_PDEATHSIG) failed: the engine would outlive its supervisor")
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    try:
        _write(record, mark)
    except OSError as error:
        sys.stderr.write(f"it ends with its supervisor: {record} cannot be written ({error.strerror})\n")
    else:
        libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)
    # A mask survives execve too: whoever started us may have blocked what the engine must hear.
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


def _write(record: str, mark: str) -> None:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
        started = int(file.read().rpartition(")")[2].split()[19])
    written = f"{record}.new"
    descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        json.dump(
            {"boot": boot, "pid": os.getpid(), "started": started, "mark": mark, "ready": False, "said": ""}, file
        )
    os.replace(written, record)


if __name__ == "__main__":
    main()
