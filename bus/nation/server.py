"""The ministries' own PostgreSQL, beside the bus's: one server, one database and one role a member (bus.engines).

1. Nobody reaches another's database: SCRAM, no CONNECT right, and a role is let into the database of its name only.
2. A member learns where its own is from a file in its home, 0600, written before each of its starts: the socket lies in
   another directory after each start of the instance.
3. Starting is tried again until it succeeds; whoever needs it waits, and nobody else does.
"""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg

from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database
from bus.engines.records import Records
from bus.engines.supervisor import EngineError, Supervisor
from bus.nation.places import DATABASE
from pki.files import ensure_private_directory, write_atomic

__all__ = ["Ministries", "role_of"]

_START_SECONDS: Final = 60.0
_WAIT_SECONDS: Final = 120.0
_AGAIN_SECONDS: Final = 5.0

log = logging.getLogger(__name__)


def role_of(path: str) -> str:
    """The name of a member's role and database: `gov_mps_population`."""
    return path.replace("/", "_").replace("-", "_")


class Ministries:
    """Between `begin` and `stop`."""

    def __init__(self, directory: Path, see: Callable[[Supervisor], None], records: Records | None = None) -> None:
        """It runs from `directory`/postgres. `see` is told of the server once it runs. With `records` it goes on
        without this process."""
        self._directory, self._see, self._records = directory, see, records
        self._server: Postgres | None = None
        self._settled, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="ministries-postgres", daemon=True)
        self.failure = ""
        """Why it does not start; empty when it does."""

    def begin(self) -> None:
        """Start it and go on."""
        self._thread.start()

    def release(self) -> None:
        """Whoever waits for it waits no longer."""
        self._stopping.set()
        self._settled.set()

    def stop(self) -> None:
        """End it in order."""
        self.release()
        if self._server is not None:
            self._server.supervisor.cancel()
        if self._thread.is_alive():
            self._thread.join()
        if self._server is not None:
            self._server.stop()

    def database(self, path: str) -> Database:
        """A member's database, made at the first call; EngineError while the server is away."""
        return self._there().database(role_of(path))

    def provide(self, path: str, home: Path) -> Path:
        """The file in its home that says where a member's database is."""
        file = home / DATABASE
        write_atomic(file, self.database(path).dsn.encode() + b"\n")
        return file

    def sockets(self) -> tuple[Path, ...]:
        """Where members meet it: a directory that stays while it is killed and started again. As `database`."""
        return (self._there().sockets,)

    def _there(self) -> Postgres:
        self._settled.wait(_WAIT_SECONDS)
        if self._server is None or not self._server.supervisor.ready:
            raise EngineError(f"the ministries' PostgreSQL is not there: {self.failure or 'it is started again'}")
        return self._server

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                server = Postgres(
                    ensure_private_directory(self._directory), records=self._records, name="nation-postgres"
                )
                self._server = server
                server.start(_START_SECONDS)
            except (EngineError, psycopg.Error, OSError) as error:
                self._server, self.failure = None, str(error)
                log.warning("the ministries' PostgreSQL does not start: %s", error)
                self._stopping.wait(_AGAIN_SECONDS)
            else:
                self.failure = ""
                self._see(server.supervisor)
                self._settled.set()
                return
