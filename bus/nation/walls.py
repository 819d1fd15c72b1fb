"""Run as a script, in the child's place: leave of the machine's files only those named, then go on.

    python -I -S walls.py OWN-DIRECTORY VISIBLE... -- COMMAND...

A mount namespace of its own (mount_namespaces(7)) whose root is an empty tmpfs. In it lie, at their own paths, VISIBLE
files and directories, read-only, and OWN-DIRECTORY; what lies elsewhere is not there: no socket of another can be
connected to, nothing of another's changes its mode, owner or times. That is what Landlock (bus.nation.fence, which is
to come next and takes the right to mount away) does not refuse. It ends with its last process and leaves no mount.

1. Root unshares its mounts; an ordinary user, who may not, does so in a user namespace where it is who it was.
2. Every path is looked up before anything is mounted; what cannot be opened is not visible.
3. All but OWN-DIRECTORY is read-only, whoever owns it.
4. The old root is let go of: there is no way back to it.

Any other end than COMMAND is an error on standard error and status 1: a kernel or a container that refuses a step.
KNOWN: a file that is replaced after the start, as /etc/resolv.conf may be, is seen as it was; directories are live.
"""

import ctypes
import os
import stat
import sys

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000  # CLONE_NEWNS, CLONE_NEWUSER
_NO_SETUID, _NO_DEVICES, _RECURSIVE, _PRIVATE = 2, 4, 16384, 1 << 18
_DETACH = 2
_OPEN_TREE, _MOVE_MOUNT, _SET_ATTRIBUTES = 428, 429, 442  # the same on every architecture; mount_setattr(2): Linux 5.12
_HERE, _CLONE, _WITH_ALL_BELOW, _AS_OPENED = -100, 1 | os.O_CLOEXEC, 0x8000, 4
_READ_ONLY = 1


def wall_off(own: str, visible: list[str]) -> None:
    """Do it to this process, for good; OSError when the kernel refuses. All paths are absolute."""
    libc = ctypes.CDLL(None, use_errno=True)
    _unshare(libc)  # (1)
    _verify(libc.mount(None, b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None))
    seen = _take_all(libc, visible)  # (2)
    homes = {path: _take(libc, path) for path in {os.path.abspath(own), os.path.realpath(own)}}
    options = ctypes.c_ulong(_NO_SETUID | _NO_DEVICES), b"mode=755,size=1m"
    _verify(libc.mount(b"govbus", os.fsencode(own), b"tmpfs", *options))
    os.chdir(own)
    for path, taken in seen.items():
        _put(libc, taken, path)
    for path in homes:
        os.makedirs(f".{path}", exist_ok=True)
    read_only = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    _verify(libc.syscall(_SET_ATTRIBUTES, _HERE, b".", _WITH_ALL_BELOW, read_only, ctypes.c_size_t(32)))  # (3)
    for path, taken in homes.items():
        _put(libc, taken, path)
    _verify(libc.pivot_root(b".", b"."))  # (4) the old root lies over the new one until it is let go of
    _verify(libc.umount2(b".", _DETACH))
    os.chdir("/")


def _unshare(libc: ctypes.CDLL) -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _verify(libc.unshare(_NEW_MOUNTS))
        return
    _verify(libc.unshare(_NEW_MOUNTS | _NEW_USER))
    for name, content in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(content)


def _take_all(libc: ctypes.CDLL, paths: list[str]) -> dict[str, int]:
    """Those that are there, where they are named and where links lead; nothing below another."""
    found: dict[str, int] = {}
    for path in sorted({name(path) for path in paths for name in (os.path.abspath, os.path.realpath)}):
        if any(path.startswith(f"{above}/") for above in found):
            continue
        try:
            found[path] = _take(libc, path)
        except OSError:
            continue  # /lib64, for one, is not everywhere
    return found


def _take(libc: ctypes.CDLL, path: str) -> int:
    """What is there now, with all that is mounted below it."""
    found = int(libc.syscall(_OPEN_TREE, _HERE, os.fsencode(path), _CLONE | _WITH_ALL_BELOW))
    _verify(min(found, 0))
    return found


def _put(libc: ctypes.CDLL, taken: int, path: str) -> None:
    """What was taken, at its path in the new root."""
    place = f".{path}"
    if not os.path.exists(place):
        if stat.S_ISDIR(os.fstat(taken).st_mode):
            os.makedirs(place)
        else:
            os.makedirs(os.path.dirname(place), exist_ok=True)
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    _verify(libc.syscall(_MOVE_MOUNT, taken, b"", _HERE, os.fsencode(place), _AS_OPENED))
    os.close(taken)


def _verify(found: int) -> None:
    if found != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def main() -> None:
    """Wall off and exec."""
    split = sys.argv.index("--")
    try:
        wall_off(sys.argv[1], sys.argv[2:split])
    except (OSError, AttributeError) as error:  # a C library may lack a call
        sys.exit(f"no mounts of its own: {error}")
    command = sys.argv[split + 1 :]
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


if __name__ == "__main__":
    main()
