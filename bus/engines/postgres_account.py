"""Under which account PostgreSQL runs: PostgreSQL refuses root, and so do we.

1. An ordinary user's PostgreSQL runs as that user.
2. Started as root it runs as the account that already owns the data; else as `govbus`, where such an account exists;
   else as `nobody`. Data and sockets then belong to that account, inside directories that stay root's own.
3. The child changes identity itself, after exec (postgres_launch.py). Popen's `user=` has to fork this process, and
   gRPC's fork handlers, which run between fork and exec, break a child of a process that is serving calls.
"""

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from bus.engines.supervisor import EngineError

__all__ = ["Account", "choose_account"]

_LAUNCH = str(Path(__file__).with_name("postgres_launch.py"))
_CANDIDATES = ("govbus", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """Numeric identity of the process."""

    uid: int
    gid: int

    @property
    def is_ours(self) -> bool:
        """True when no change of identity is needed."""
        return self.uid == os.geteuid()

    def launch(self, command: list[str], *, kept: bool = False) -> list[str]:
        """`command` under this account, to be started by the thread that stays until it ends; `kept`: or does not."""
        parent = "-" if kept else str(os.getpid())
        return [sys.executable, "-I", "-S", _LAUNCH, parent, str(self.uid), str(self.gid), *command]

    def own(self, path: Path) -> Path:
        """Hand `path` over to this account."""
        if not self.is_ours:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)
        return path


def choose_account(data: Path) -> Account:
    """The account for the data directory `data`, which need not exist yet; EngineError where root has no other."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if data.is_dir():
        found = data.lstat()
        if found.st_uid == 0:
            raise EngineError(f"{data} belongs to root, and PostgreSQL refuses to run as root; chown -R it")
        return Account(found.st_uid, found.st_gid)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EngineError("PostgreSQL refuses to run as root; add an account `govbus`, or start as an ordinary user")
