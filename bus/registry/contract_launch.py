"""Run as a script, in the child's place: bound what comparing somebody's contracts may take, then compare.

    python -I -S contract_launch.py PARENT-PID COMMAND...

Limits of memory, of CPU time and of what is written survive execve (setrlimit(2)), as does the signal that ends
the child with its parent (prctl(2)). Where the kernel lets it, the child gets a network of its own, in which there is
nobody: nothing that a contract says can be asked of anyone, and nothing of it told.
"""

import ctypes
import os
import resource
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # CLONE_NEWNET, CLONE_NEWUSER
_LIMITS = {
    resource.RLIMIT_DATA: 1 << 30,  # not the address space: a Go program reserves far more of it than it writes to
    resource.RLIMIT_CPU: 20,
    resource.RLIMIT_FSIZE: 1 << 20,
    resource.RLIMIT_CORE: 0,
}


def main() -> None:
    """Bound and exec; ends with status 1 when the parent is gone already."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("whoever asked is gone")
    libc.unshare(_NEW_NETWORK if os.geteuid() == 0 else _NEW_NETWORK | _NEW_USER)
    for what, most in _LIMITS.items():
        resource.setrlimit(what, (most, most))
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


if __name__ == "__main__":
    main()
