"""Commands behind a member's fence: its home and the installed code is all that they can open.

Nothing of the caller's environment reaches them but where programs, libraries and the language are.
"""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bus.engines.supervisor import EngineError
from bus.nation import fence

__all__ = ["environment", "fenced", "openable"]

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


def fenced(home: Path, command: Sequence[str]) -> list[str]:
    """`command`, in its home and behind the fence; in its home alone where the kernel has no Landlock."""
    readable = _readable() if fence.landlock_version() else ["--open"]
    return [sys.executable, "-I", "-S", str(Path(fence.__file__)), str(home), *readable, "--", *command]


def environment(home: Path) -> dict[str, str]:
    """All that a member is told by environment."""
    kept = {name: value for name in _KEPT if (value := os.environ.get(name))}
    return kept | {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}


def openable(home: Path, paths: Sequence[Path]) -> Mapping[str, str]:
    """What happens when a process fenced into `home` opens each path: "opened", or the error's name."""
    command = [sys.executable, "-I", "-S", "-c", _TRY, *map(str, paths)]
    ran = subprocess.run(
        fenced(home, command), capture_output=True, env=environment(home), timeout=_SECONDS, check=False
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
