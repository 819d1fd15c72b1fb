"""Run as a script, in the child's place: make no sockets but those that the fence sees, then become the program.

    python -I -S narrow.py -- COMMAND...

Landlock's rights (bus.nation.fence) are about TCP alone: over MPTCP or SMC the same ports are bound and met unseen. A
filter of system calls (seccomp(2)), which nothing takes off again, therefore refuses with EPERM

1. socket(2) of any family but unix, IPv4, IPv6 and routing's netlink, of any protocol but the usual one, TCP and UDP;
2. io_uring_setup(2), by which sockets are made without socket(2);
3. sending with MSG_FASTOPEN, which connects without connect(2), where the fence looks;
4. every call by another architecture's numbers.

Where the kernel or the machine knows no such filter the program starts without; bus.nation.behind finds that out by
trying, and `govbus status` says it.
"""

import contextlib
import ctypes
import os
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2
# AUDIT_ARCH_*, and the numbers of socket(2), sendto(2), sendmmsg(2) and sendmsg(2).
_ARCHITECTURES = {"x86_64": (0xC000003E, 41, 44, 307, 46), "aarch64": (0xC00000B7, 198, 206, 269, 211)}
_IO_URING_SETUP, _X32 = 425, 0x40000000
_NUMBER, _ARCHITECTURE, _FAMILY, _THIRD, _FOURTH = 0, 4, 16, 32, 40  # struct seccomp_data; low halves of the arguments
_FASTOPEN = 0x20000000
_FAMILIES, _PROTOCOLS = (1, 2, 10, 16), (0, 6, 17)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK; IPPROTO_TCP, IPPROTO_UDP
# BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ, BPF_JGE, BPF_JSET, BPF_RET
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_SET, _END = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # SECCOMP_RET_ALLOW; SECCOMP_RET_ERRNO with EPERM


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def narrow_sockets() -> None:
    """Put the filter on, for good; OSError where there is none to be had."""
    machine = os.uname().machine
    if machine not in _ARCHITECTURES:
        raise OSError(f"no filter is known for {machine}")
    steps = _steps(*_ARCHITECTURES[machine])
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps) // 8, steps)
    for call in ((_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_SECCOMP, _FILTER, ctypes.byref(program))):
        if libc.prctl(*call, *(0,) * (5 - len(call))) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def _steps(architecture: int, socket: int, sendto: int, sendmmsg: int, sendmsg: int) -> bytes:
    """As the kernel takes it: code, steps to jump over if so and if not, value."""
    program: list[tuple[int, int, str, str] | str] = [
        (_LOAD, _ARCHITECTURE, "", ""),
        (_IF_EQUAL, architecture, "", "refuse"),
        (_LOAD, _NUMBER, "", ""),
        (_IF_AT_LEAST, _X32, "refuse", ""),
        (_IF_EQUAL, _IO_URING_SETUP, "refuse", ""),
        (_IF_EQUAL, sendto, "flags behind", ""),
        (_IF_EQUAL, sendmmsg, "flags behind", ""),
        (_IF_EQUAL, sendmsg, "flags", ""),
        (_IF_EQUAL, socket, "", "allow"),
        (_LOAD, _FAMILY, "", ""),
        *((_IF_EQUAL, family, "known family", "") for family in _FAMILIES),
        (_END, _REFUSE, "", ""),
        "known family",
        (_LOAD, _THIRD, "", ""),
        *((_IF_EQUAL, protocol, "allow", "") for protocol in _PROTOCOLS),
        (_END, _REFUSE, "", ""),
        "flags behind",
        (_LOAD, _FOURTH, "", ""),
        (_IF_SET, _FASTOPEN, "refuse", "allow"),
        "flags",
        (_LOAD, _THIRD, "", ""),
        (_IF_SET, _FASTOPEN, "refuse", "allow"),
        "refuse",
        (_END, _REFUSE, "", ""),
        "allow",
        (_END, _ALLOW, "", ""),
    ]
    places: dict[str, int] = {}
    steps: list[tuple[int, int, str, str]] = []
    for each in program:
        if isinstance(each, str):
            places[each] = len(steps)
        else:
            steps.append(each)
    found = b""
    for here, (code, value, yes, no) in enumerate(steps, 1):  # a jump counts from the step after it
        jumps = [places[label] - here if label else 0 for label in (yes, no)]
        found += struct.pack("=HBBI", code, *jumps, value)
    return found


def main() -> None:
    """Narrow, where that can be had, and exec."""
    command = sys.argv[sys.argv.index("--") + 1 :]
    with contextlib.suppress(OSError):
        narrow_sockets()
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


if __name__ == "__main__":
    main()
