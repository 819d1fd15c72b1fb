"""Commands behind a member's fence: its home and the installed code is all that they can open, and a few TCP ports all
that they can connect to (UDP is open).

1. Where the kernel and whatever contains us allow it, nothing else is even there (bus.nation.walls); that is found out
   by a child that does the very same steps. Landlock (bus.nation.fence) holds in any case where there is one.
2. They bind and connect to the TCP ports of their Reach only, where the kernel refuses others (Landlock from Linux 6.7,
   and bus.nation.narrow against what it does not see); that, too, is found out by trying.
3. Nothing of the caller's environment reaches them but where programs, libraries and the language are.
"""

import json
import logging
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bus.engines.supervisor import EngineError
from bus.nation import fence, narrow, walls

__all__ = ["Apart", "Reach", "environment", "fenced", "kept_apart", "openable", "ports_kept"]

_SECONDS: Final = 60.0
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
_PACKAGES: Final = ("adapters", "buf", "bus", "govbus", "native", "pki", "vn")
_SYSTEM: Final = ("/bin", "/lib", "/lib64", "/proc", "/sys", "/usr")
# Not all of it: root's may read /etc/shadow, the host's keys, and where the operator keeps an address of a database.
_ETC: Final = (
    *("alternatives", "ca-certificates", "crypto-policies", "gai.conf", "group", "host.conf", "hosts", "ld.so.cache"),
    *("ld.so.conf", "ld.so.conf.d", "ld.so.preload", "localtime", "nsswitch.conf", "passwd", "pki/tls/certs"),
    *("pki/tls/openssl.cnf", "protocols", "resolv.conf", "services", "ssl/certs", "ssl/openssl.cnf"),
)
# Says of each path named whether it could be opened, as JSON.
_TRY: Final = """
import errno, json, os, sys
found = {}
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_RDONLY))
        found[path] = "opened"
    except OSError as error:
        found[path] = errno.errorcode[error.errno]
print(json.dumps(found))
"""
# Ends with 0 where each way to a TCP port that was not named is refused: by TCP, by MPTCP (RFC 8684), by sending.
_TRY_PORTS: Final = """
import socket, sys
for protocol in (6, 262):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol).bind(("127.0.0.1", 0))
    except OSError:  # refused, or unknown here
        continue
    sys.exit(1)
try:
    socket.socket().sendto(b"", socket.MSG_FASTOPEN, ("127.0.0.1", 9))
except OSError as error:
    sys.exit(not isinstance(error, PermissionError))
sys.exit(1)
"""
# What a member needs: the interpreter, the packages, libraries of others below them.
_USE: Final = "import adapters, bus, native, pki, psycopg, vn"

log = logging.getLogger(__name__)


class Apart(StrEnum):
    """What keeps members from each other, beside passwords; each with all that follows."""

    MOUNTS = "mounts"
    LANDLOCK = "landlock"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Reach:
    """TCP ports, on whatever address: those that it may listen at, and those that it may connect to."""

    bind: frozenset[int] = frozenset()
    connect: frozenset[int] = frozenset()


@cache
def kept_apart() -> Apart:
    """What this machine offers, tried once by a child that ends at once."""
    if not fence.landlock_version():
        return Apart.NOTHING
    try:
        with tempfile.TemporaryDirectory(prefix="govbus-") as name:
            home = Path(name)
            command = fenced(home, [sys.executable, "-I", "-B", "-c", _USE], apart=Apart.MOUNTS)
            ran = subprocess.run(
                command, capture_output=True, text=True, env=environment(home), timeout=_SECONDS, check=False
            )
        if ran.returncode == 0:
            return Apart.MOUNTS
        said = ran.stderr.strip().rpartition("\n")[2]
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    log.warning("members are kept apart by Landlock alone: %s", said)
    return Apart.LANDLOCK


@cache
def ports_kept() -> bool:
    """Whether this machine keeps members to their ports, tried once by a child that ends at once."""
    if fence.landlock_version() < fence.TCP_VERSION:
        return False
    try:
        with tempfile.TemporaryDirectory(prefix="govbus-") as name:
            command = fenced(Path(name), [sys.executable, "-I", "-S", "-c", _TRY_PORTS], apart=Apart.LANDLOCK)
            ran = subprocess.run(command, env=environment(Path(name)), timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ran.returncode == 0


def fenced(
    home: Path,
    command: Sequence[str],
    *,
    apart: Apart | None = None,
    sockets: Sequence[Path] = (),
    reach: Reach = Reach(),
) -> list[str]:
    """`command`, in its home and behind all that keeps it `apart` (what there is, unless said otherwise).

    `sockets`: directories outside its home whose sockets it is to reach; their files it cannot open. `reach`: no TCP,
    unless said otherwise.
    """
    apart = kept_apart() if apart is None else apart
    python, own, readable = [sys.executable, "-I", "-S"], str(home), _readable()
    if apart is Apart.NOTHING:
        return [*python, str(Path(fence.__file__)), own, "--open", "--", *command]
    ports = [
        *(f"--bind={port}" for port in sorted(reach.bind)),
        *(f"--connect={port}" for port in sorted(reach.connect)),
    ]
    inside = [*python, str(Path(narrow.__file__)), "--", *command]
    behind = [*python, str(Path(fence.__file__)), own, *ports, *readable, "--", *inside]
    if apart is not Apart.MOUNTS:
        return behind
    visible = [*readable, *fence.DEVICES, *map(str, sockets)]
    return [*python, str(Path(walls.__file__)), own, *visible, "--", *behind]


def environment(home: Path) -> dict[str, str]:
    """All that a member is told by environment."""
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    return kept | {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}


def openable(home: Path, paths: Sequence[Path], *, apart: Apart | None = None) -> Mapping[str, str]:
    """What happens when a process fenced into `home` opens each path: "opened", or the error's name.

    EACCES is said of what it may not open, ENOENT of what is not there for it.
    """
    command = [sys.executable, "-I", "-S", "-c", _TRY, *map(str, paths)]
    ran = subprocess.run(
        fenced(home, command, apart=apart), capture_output=True, env=environment(home), timeout=_SECONDS, check=False
    )
    if ran.returncode != 0:
        raise EngineError(f"a process could not be fenced into {home}; is it a directory?")
    found: dict[str, str] = json.loads(ran.stdout)
    return found


def _readable() -> list[str]:
    """The system, Python, and the installed packages: code that everybody has, no data."""
    found = {sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), *_SYSTEM, *(f"/etc/{one}" for one in _ETC)}
    for name in _PACKAGES:
        spec = find_spec(name)
        found.update(spec.submodule_search_locations or () if spec else ())
    return sorted(filter(os.path.isabs, found))  # a package installed for editing names a hook, too
