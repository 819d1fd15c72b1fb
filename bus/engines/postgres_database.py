"""Where one owner's data is, whoever runs the server: the only thing that the rest of govbus sees of PostgreSQL."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import psycopg
from psycopg.rows import TupleRow

from bus.engines.supervisor import EngineError

__all__ = ["Database", "DatabaseServer", "DatabaseUnavailable"]

_CONNECT_SECONDS = 5


class DatabaseUnavailable(EngineError):
    """No connection within the time; the text says what to look at. Trying again later may help."""


@dataclass(frozen=True, slots=True)
class Database:
    """One database of one owner. The DSN holds a password: it is never shown, logged or put on a command line."""

    name: str
    dsn: str = field(repr=False)

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection[TupleRow]:
        """A new connection within 5 s, or DatabaseUnavailable."""
        try:
            return psycopg.connect(self.dsn, autocommit=autocommit, connect_timeout=_CONNECT_SECONDS)
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            raise DatabaseUnavailable(
                f"no connection to database {self.name}: {said}; is its server up (`govbus status`)?"
            ) from error


class DatabaseServer(Protocol):
    """Our own PostgreSQL (bus.engines.postgres) or somebody's (bus.engines.postgres_external)."""

    def start(self, timeout: float = ...) -> None:
        """Ready for `database` when this returns; EngineError otherwise."""

    def stop(self) -> None:
        """Let go of it; what was committed stays."""

    def database(self, owner: str) -> Database:
        """The database of `owner`, made at the first call, with a role of its own."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
