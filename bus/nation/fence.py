"""Run as a script, in the child's place: give up every file and TCP port but those named, then become the program.

    python -I -S fence.py OWN-DIRECTORY [--bind=PORT]... [--connect=PORT]... READABLE... -- COMMAND...
    python -I -S fence.py OWN-DIRECTORY --open -- COMMAND...

Landlock (landlock(7), Linux 5.13): the kernel refuses everything that no rule allows, to root as well, to children as
well, and for good. OWN-DIRECTORY may be read and written, and is where the program starts; READABLE paths may be read
and executed. All are absolute: a relative one would be looked up in a directory that the fenced program filled, and a
symbolic link there would open what it points to. It also stops the process from looking into others' memory and, from
Linux 6.12, from signalling others and meeting them at abstract sockets. From Linux 6.7 it binds and connects to the
TCP ports that are named only, on whatever address (bus.nation.narrow, which comes next, sees to what is not TCP).
Started by root, it keeps one of root's capabilities (capabilities(7)): to reach its database's socket, which belongs
to PostgreSQL's account. Where the kernel has no Landlock, `landlock_version` is 0, `--open` starts the program without
a fence, and nobody should claim that processes of one user are apart.
KNOWN: Landlock refuses neither chmod(2) nor connecting to a socket whose path is known, before 6.2 not truncate(2):
what is to be safe from these must not be there (bus.nation.walls).
"""

import ctypes
import os
import sys

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on every architecture
_ASK_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38
_SCOPES, _SCOPED_VERSION = 1 | 2, 6  # abstract sockets and signals stay among its own
_CAPSET_VERSION, _CAP_DAC_OVERRIDE = 0x20080522, 1
# LANDLOCK_ACCESS_FS_*: those of the first version; then moving between directories, and truncating by name, which no
# earlier right refuses: each is refused only where it is handled.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FIRST, _REFER, _TRUNCATE = (1 << 13) - 1, 1 << 13, 1 << 14
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_BIND, _CONNECT, TCP_VERSION = 1, 2, 4  # LANDLOCK_ACCESS_NET_*_TCP, and the version that they came with
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")  # no disks, no shared memory


class _Ruleset(ctypes.Structure):
    _fields_ = (("handled", ctypes.c_uint64), ("handled_net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed", ctypes.c_uint64), ("port", ctypes.c_uint64))


def landlock_version() -> int:
    """What this kernel offers; 0 for nothing."""
    return max(0, int(_libc().syscall(_CREATE, None, ctypes.c_size_t(0), _ASK_VERSION)))


def enclose(own: str, readable: list[str], ports: dict[int, int]) -> None:
    """Fence this process in, for good; OSError when the kernel refuses. `ports`: what it may do at each."""
    if relative := [path for path in (own, *readable) if not os.path.isabs(path)]:
        raise ValueError(f"not an absolute path: {relative[0]}")
    libc, version = _libc(), landlock_version()
    every = _FIRST | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    tcp, scopes = version >= TCP_VERSION, version >= _SCOPED_VERSION
    wanted = _Ruleset(every, _BIND | _CONNECT if tcp else 0, _SCOPES if scopes else 0)
    size = 24 if scopes else 16 if tcp else 8
    ruleset = _call(libc, _CREATE, ctypes.byref(wanted), ctypes.c_size_t(size), 0)
    devices = ((each, _READ_FILE | _WRITE_FILE) for each in DEVICES)
    for path, allowed in ((own, every), *devices, *((each, _READ) for each in readable)):
        try:
            parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # /lib64, for one, is not everywhere
        rule = _PathBeneath(allowed if os.path.isdir(path) else allowed & _OF_FILES, parent)
        _call(libc, _ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
        os.close(parent)
    for port, allowed in ports.items() if tcp else ():
        _call(libc, _ADD, ruleset, _NET_PORT, ctypes.byref(_NetPort(allowed, port)), 0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    _call(libc, _RESTRICT, ruleset, 0)
    os.close(ruleset)
    _drop_capabilities(libc)


def _drop_capabilities(libc: ctypes.CDLL) -> None:
    """Root's, but for one; what is given up here does not come back at an exec, since no new privileges do."""
    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(_CAPSET_VERSION, 0)
    kept = 1 << _CAP_DAC_OVERRIDE
    data = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)  # effective, permitted, inheritable; low and high halves
    if libc.capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(libc: ctypes.CDLL, number: int, *arguments: object) -> int:
    found = int(libc.syscall(number, *arguments))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found


def _ports(named: list[str]) -> dict[int, int]:
    found: dict[int, int] = {}
    for each in named:
        for option, allowed in (("--bind=", _BIND), ("--connect=", _CONNECT)):
            if each.startswith(option):
                port = int(each[len(option) :])
                found[port] = found.get(port, 0) | allowed
    return found


def main() -> None:
    """Enclose and exec."""
    split = sys.argv.index("--")
    own, named = sys.argv[1], sys.argv[2:split]
    os.chdir(own)
    if named != ["--open"]:
        enclose(own, [each for each in named if not each.startswith("--")], _ports(named))
    command = sys.argv[split + 1 :]
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


if __name__ == "__main__":
    main()
