"""Somebody else's PostgreSQL (`--database-url`): the same roles and databases, made by an administrator's connection.

The address is that of a role with CREATEROLE and CREATEDB (or a superuser). Owners' passwords are kept in the state
directory, as with our own server. A server that may lose what it acknowledged is refused. Who may connect from
where, and TLS, are that server's own matter: say `sslmode=verify-full` in the address. libpq's variables, service and
password files count as they do for psql.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bus.engines.postgres_database import Database
from bus.engines.postgres_environment import with_variables
from bus.engines.postgres_owners import provide_owner
from bus.engines.supervisor import EngineError
from pki.files import ensure_private_directory

__all__ = ["ExternalPostgres", "names_password"]

_OLDEST = 160000
_NAMES = ("user", "password", "dbname", "passfile")
_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def names_password(url: str) -> bool:
    """Whether there is a password in this address; False for what is none."""
    try:
        return "password" in conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False


class ExternalPostgres:
    """A DatabaseServer that is already there."""

    def __init__(self, url: str, state: Path) -> None:
        """`url`: a PostgreSQL URI or conninfo; EngineError if it is neither."""
        try:
            url = with_variables(url)
            parts = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise EngineError("--database-url is no PostgreSQL address; write postgresql://user@host/dbname") from None
        self._admin = Database(str(parts.get("dbname") or parts.get("user") or "postgres"), url)
        self._server = make_conninfo("", **{name: value for name, value in parts.items() if name not in _NAMES})
        self._passwords = ensure_private_directory(state.absolute() / "postgres") / "passwords"

    def start(self, timeout: float = 10.0) -> None:
        """Connect and look at what the server promises; EngineError if it is too old or not durable."""
        with self._admin.connect(autocommit=True) as connection:
            if connection.info.server_version < _OLDEST:
                raise EngineError("the database server is older than PostgreSQL 16; upgrade it")
            for setting in _DURABLE:
                if connection.execute("SELECT current_setting(%s)", (setting,)).fetchone() == ("off",):
                    raise EngineError(f"the database server runs with {setting} = off and may lose data; set it to on")

    def stop(self) -> None:
        """Nothing of ours runs."""

    def database(self, owner: str) -> Database:
        """The database of `owner`; its role, password and database are made at the first call."""
        return provide_owner(self._admin, self._server, self._passwords, owner)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
