"""Our own PostgreSQL: the wheel's server as a supervised child, one per state directory, any number side by side.

    <state>/postgres/          0700
      data/                    the cluster; as root it belongs to PostgreSQL's account
      passwords/<role>         one random password a role, 0600
      local.conf               the user's own tuning, optional
      postgres.log             what the server prints; no statement, no row
      lock, run-directory      who runs here, and where its socket is

It listens on one unix socket in a short private directory and on nothing else. Killed, it is started again with a pause
that grows; ended, it gets a fast shutdown, then an immediate one. A server that outlived its owner is gone on with by
the next one where both have `records`; it is ended otherwise (bus.engines.postgres_leftovers).
"""

import fcntl
import hashlib
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import make_conninfo

from bus.engines.logs import RotatingLog
from bus.engines.postgres_account import choose_account
from bus.engines.postgres_binaries import find_binaries
from bus.engines.postgres_cluster import configure, make_cluster, open_directory, promises
from bus.engines.postgres_database import Database
from bus.engines.postgres_environment import take_variables
from bus.engines.postgres_leftovers import end_process, settle_leftovers
from bus.engines.postgres_owners import ADMINISTRATOR, new_password, owner_database, provide_owner
from bus.engines.records import Keep, Records
from bus.engines.run_directory import find_run_directory, make_run_directory, remove_run_directory
from bus.engines.supervisor import EngineError, Launch, Supervisor
from pki.files import create_atomic, ensure_private_directory, read_private

__all__ = ["Postgres", "find_database"]

_PORT = 5432  # part of the socket's file name only
_PROBE_SECONDS = 2


class Postgres:
    """Runs between `start` and `stop`; also a context manager. A DatabaseServer."""

    def __init__(self, state: Path, *, records: Records | None = None, name: str = "postgres") -> None:
        """Take the state directory; EngineError if somebody runs from it. Nothing is started yet.

        `records`, `name`: where it is written down, so that it goes on without this process.
        """
        take_variables()
        self.home = ensure_private_directory(state.absolute() / "postgres")
        self._lock = _lock(self.home)
        self._keep = None if records is None else Keep(records, records.of(name), self._mark)
        try:
            self._account = choose_account(self.home / "data")
            self._binaries = find_binaries(self._account)
            self.sockets = self._make_socket_directory()
        except BaseException:
            os.close(self._lock)
            raise
        self._server = _server(self.sockets)
        self._supervisor = Supervisor(
            "postgres",
            prepare=self._prepare,
            probe=self._probe,
            drain=self._drain,
            log=RotatingLog(self.home / "postgres.log"),
            keep=self._keep,
        )

    @property
    def supervisor(self) -> Supervisor:
        """Readiness, pid and number of starts."""
        return self._supervisor

    @property
    def version(self) -> str:
        """Of the server, for example `18.4`."""
        return self._binaries.version

    def start(self, timeout: float = 60.0) -> None:
        """Make the cluster if there is none, recover and start it; EngineError after `timeout` seconds."""
        try:
            make_cluster(self.home, self._binaries, self._account, self._password())
            self._supervisor.start(timeout)
            self._close_doors()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Fast shutdown, then immediate; returns when the server is gone. May be called twice."""
        self._supervisor.stop()
        if self._lock >= 0:
            if self._keep is None or not self._keep.record.lives():
                remove_run_directory(self.home)
            os.close(self._lock)
            self._lock = -1

    def database(self, owner: str) -> Database:
        """The database of `owner`; its role, password and database are made at the first call."""
        return provide_owner(self._admin(), self._server, self.home / "passwords", owner)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _admin(self) -> Database:
        password = read_private(self.home / "passwords" / ADMINISTRATOR).decode("ascii")
        dsn = make_conninfo(self._server, user=ADMINISTRATOR, dbname="postgres", password=password)
        return Database("postgres", dsn)

    def _password(self) -> str:
        """The superuser's: made before the cluster that knows it."""
        file = ensure_private_directory(self.home / "passwords") / ADMINISTRATOR
        if not file.exists():
            if (self.home / "data").is_dir():
                raise EngineError(f"{file} is missing, and {self.home / 'data'} knows no other; restore it")
            create_atomic(file, new_password().encode("ascii"))
        return read_private(file).decode("ascii")

    def _make_socket_directory(self) -> Path:
        """As root the run directory lets others through but not look in; what is inside belongs to one account."""
        former = None if self._keep is None else find_run_directory(self.home)
        run = former or make_run_directory(self.home)
        sockets = run / "pg"
        sockets.mkdir(mode=0o700, exist_ok=True)
        if not self._account.is_ours:
            run.chmod(0o711)
        return self._account.own(sockets)

    def _prepare(self) -> Launch:
        data = self.home / "data"
        settle_leftovers(data)
        for name in (f".s.PGSQL.{_PORT}", f".s.PGSQL.{_PORT}.lock"):
            (self.sockets / name).unlink(missing_ok=True)
        configure(self.home, self._account)
        directory = open_directory(data)
        place = str(data) if self._account.is_ours else f"/proc/self/fd/{directory}"
        command = [str(self._binaries.postgres), "-D", place, "-p", str(_PORT), *promises(self.sockets)]
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        return Launch(self._account.launch(command, kept=self._keep is not None), environment, (directory,))

    def _mark(self) -> str:
        """Of what it is and how it is told to be. Its own configuration's newest words wait for its next start."""
        parts = [str(self._binaries.postgres), self._binaries.version, promises(self.sockets), self._account.uid]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _probe(self) -> bool:
        conninfo = make_conninfo(self._server, connect_timeout=_PROBE_SECONDS)
        return psycopg.pq.PGconn.ping(conninfo.encode()) == psycopg.pq.Ping.OK

    def _drain(self) -> None:
        pidfd = self._supervisor.open_child()
        if pidfd is None:
            return
        try:
            end_process(pidfd)
        finally:
            os.close(pidfd)

    def _close_doors(self) -> None:
        """Also the first connection of all: it shows that the superuser's password is the cluster's."""
        with self._admin().connect(autocommit=True) as connection:
            for name in ("postgres", "template1"):
                connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")


def find_database(state: Path, owner: str) -> Database:
    """The database of `owner` on the server that runs from `state`, for another process of the same user."""
    take_variables()
    home = state.absolute() / "postgres"
    try:
        run = Path(os.fsdecode((home / "run-directory").read_bytes()))
        return owner_database(_server(run / "pg"), home / "passwords", owner)
    except FileNotFoundError as error:
        raise EngineError(f"no PostgreSQL runs from {state} with a database {owner}; run `govbus up`") from error


def _server(sockets: Path) -> str:
    return make_conninfo(host=str(sockets), port=_PORT)


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise EngineError(f"PostgreSQL already runs from {directory}; stop it, or use another directory") from error
    return descriptor
