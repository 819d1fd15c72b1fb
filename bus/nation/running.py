"""One member's process, kept alive: started behind its fence, ready when it says where it serves, started again.

Before each start its home is made ready, whatever a killed start left there:
1. Without a certificate for another hour it gets a token for its standard input and enrols: at its first start, and
   where the nation lay still for longer than a certificate lives. Keys are made by itself, and a former signing key
   is put aside.
2. Its database is made where it has none, and its place is written into the home.
What stands in the way (no registry, no PostgreSQL) is said by `waits`; it is tried again with a growing pause.

With `records` it goes on without this process, and the next one goes on with it where it would start the same.
"""

import json
import os
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Final

from cryptography import x509

from bus.engines.logs import RotatingLog
from bus.engines.records import Keep, Records
from bus.engines.supervisor import Launch, Supervisor
from bus.nation.behind import Apart, Reach, environment, fenced
from bus.nation.members import Program, Says
from bus.nation.places import CONFIG, SOCKET
from pki.files import ensure_private_directory

__all__ = ["MemberPart", "keep_enrolled"]

_LEFT: Final = timedelta(hours=1)
_LONGEST: Final = 65_536
_LONGEST_SAID: Final = 200
_WORDS: Final = 65_536
_READY: Final = b"serving on "
_STAGE: Final = "bus.nation.member"


class MemberPart:
    """Between `begin` and `stop`."""

    def __init__(
        self,
        program: Program,
        home: Path,
        log: Path,
        *,
        people: int,
        variables: dict[str, str],
        token: Callable[[str], str],
        provide: Callable[[str, Path], Path],
        sockets: Callable[[], tuple[Path, ...]],
        reach: Callable[[str, str], Reach],
        apart: Apart,
        records: Records | None = None,
    ) -> None:
        """`token`: lets a path enrol. `provide`: the file in its home that names its database, which is met in one of
        `sockets`. `reach`: the ports of a path with its token, empty if it has enrolled. Nothing happens yet."""
        self.program, self.home, self.log = program, home, log
        self._people, self._variables, self._token, self._provide = people, variables, token, provide
        self._sockets, self._reach, self._apart = sockets, reach, apart
        self._from = 0
        self.waits = ""
        """Why it was not started; empty when nothing was in the way."""
        self.serves = ""
        """What it said last: `port 7001`."""
        keep = None
        if records is not None:
            record = records.of(f"member-{home.name}")
            keep = Keep(records, record, self._mark, say=lambda: self.serves, recall=self._recall)
        self.supervisor = Supervisor(
            program.path, prepare=self._prepare, probe=self._probe, drain=lambda: None, log=RotatingLog(log), keep=keep
        )

    @property
    def ready(self) -> bool:
        """Whether it serves."""
        return self.supervisor.ready

    def obstacle(self) -> str:
        """Why it does not serve, as far as it is known: what was in the way, or its own last words."""
        if self.ready or self.waits:
            return "" if self.ready else self.waits
        try:
            with self.log.open("rb") as file:
                file.seek(self._from)
                lines = [line for line in file.read(_WORDS).splitlines() if line and not line.startswith(b"[")]
        except OSError:
            lines = []
        said = lines[-1].decode("utf-8", "replace") if lines else "it is started again"
        return "".join(each for each in said if each.isprintable())

    def begin(self) -> None:
        """Start it and go on."""
        self.supervisor.begin()

    def stop(self) -> None:
        """Let it drain, and end it."""
        self.supervisor.stop()

    def _prepare(self) -> Launch:
        try:
            return self._launch()
        except Exception as error:
            self.waits = " ".join(str(error).split())
            raise

    def _recall(self, said: str) -> None:
        self.serves = said

    def _mark(self) -> str:
        """Of the program, what it is told and what it is shut in by; whether it enrols first makes no difference."""
        sockets = self._sockets() if self.program.database else ()
        told = [self.program.module, sorted(map(str, self.program.told)), self._people, self._variables]
        shut_in = fenced(self.home, [], apart=self._apart, sockets=sockets)
        parts = [distribution_version("govbus"), sys.version, told, shut_in]
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _launch(self) -> Launch:
        ensure_private_directory(self.home)
        arguments = [word for said in sorted(self.program.told) for word in (str(said), self._value(said))]
        told = environment(self.home) | self._variables
        self._from = self.log.stat().st_size if self.log.exists() else 0
        if keep_enrolled(self.home, datetime.now(UTC)):
            command = ["-m", self.program.module, "--config", str(self.home / CONFIG), *arguments]
            token = ""
        else:
            command = ["-m", _STAGE, str(self.home), self.program.module, *arguments]
            token = self._token(self.program.path)
        reach = self._reach(self.program.path, token)
        self.waits = ""
        command = [sys.executable, "-I", "-B", *command]
        sockets = self._sockets() if self.program.database else ()
        behind = fenced(self.home, command, apart=self._apart, sockets=sockets, reach=reach)
        return Launch(behind, told, stdin=token.encode("ascii"))

    def _value(self, said: Says) -> str:
        if said is Says.PEOPLE:
            return str(self._people)
        if said is Says.SOCKET:
            return str(self.home / SOCKET)
        return str(self._provide(self.program.path, self.home))

    def _probe(self) -> bool:
        with self.log.open("rb") as file:
            if os.fstat(file.fileno()).st_size >= self._from:
                file.seek(self._from)
            for line in file:
                if line.startswith(_READY) and line.endswith(b"\n"):
                    said = line[len(_READY) : _LONGEST_SAID].decode("utf-8", "replace").strip()
                    self.serves = "".join(filter(str.isprintable, said))  # a terminal will show it
                    return True
        return False


def keep_enrolled(home: Path, now: datetime) -> bool:
    """Whether the home's certificate lasts for another hour; one that does not is let go of, so that it may enrol."""
    tls = home / "tls"
    try:
        found = x509.load_pem_x509_certificate(_read_some(tls / "chain.pem"))
        if found.not_valid_after_utc - now > _LEFT and (home / CONFIG).exists():
            return True
    except (OSError, ValueError):
        pass
    if tls.is_symlink():
        tls.unlink()
    return False


def _read_some(path: Path) -> bytes:
    """The home is its member's: whatever lies there, a pipe or a link to an endless device, holds up nobody here."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} is not a regular file")
        return file.read(_LONGEST)
