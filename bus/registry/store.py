"""The log in PostgreSQL: rows in, rows out. What they mean is bus.registry.fold's; whether they may be written, too.

1. `append` runs in one transaction that holds the log's lock: who decides by a state appends to exactly that state.
   When it returns, the events are on the disk. When it raises anything but ConnectionLost, nothing was written.
2. Positions have no gap; the log, the claimed keys and the attachments are append-only, by triggers and by the chain.
3. Readers never wait for writers.
4. A connection that broke is replaced at the next use; while there is none, everything raises DatabaseUnavailable.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg.rows import TupleRow, class_row
from psycopg_pool import ConnectionPool, PoolTimeout

from bus.engines.postgres_database import Database, DatabaseUnavailable
from bus.registry.change import KeyClaim
from bus.registry.event import StoredEvent
from bus.registry.keys import key_known

__all__ = ["MIGRATIONS", "Appender", "ConnectionLost", "EventStore"]

MIGRATIONS = Path(__file__).with_name("migrations")
_COLUMNS = "position, time_ms, operator, reason, kind, payload, previous, hash"
_WAIT_SECONDS = 10.0
_IDLE_SECONDS = 60
_ROWS = 2_000
_CHANNEL = "registry_event"


class ConnectionLost(DatabaseUnavailable):
    """The connection broke while events were being committed: they are recorded, all or none. Read the log."""


class Appender:
    """What may be done while the log is locked."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection

    def events(self, after: int) -> list[StoredEvent]:
        """Those that others appended since `after`."""
        with self._connection.cursor(row_factory=class_row(StoredEvent)) as cursor:
            return cursor.execute(_SELECT_FROM, (after,)).fetchall()

    def append(
        self, events: tuple[StoredEvent, ...], claims: Mapping[int, tuple[KeyClaim, ...]], files: Mapping[bytes, bytes]
    ) -> None:
        """Write events, the keys that they claim (by position; Refusal(KEY_KNOWN)) and files by digest."""
        with self._connection.cursor() as cursor:
            with cursor.copy(f"COPY registry_event ({_COLUMNS}) FROM STDIN") as copy:
                for one in events:
                    copy.write_row(tuple(getattr(one, name) for name in StoredEvent.__slots__))
            for position, several in claims.items():
                for claim in several:
                    cursor.execute(_CLAIM, (claim.key_id, claim.use, claim.subsystem, position))
                    if cursor.rowcount != 1:
                        raise key_known()
            for digest, content in files.items():
                cursor.execute(_ATTACH, (digest, content))
            cursor.execute("SELECT pg_notify(%s, %s)", (_CHANNEL, str(events[-1].position)))


_SELECT_FROM = f"SELECT {_COLUMNS} FROM registry_event WHERE position > %s ORDER BY position"  # noqa: S608 (constants)
_SELECT = f"SELECT {_COLUMNS} FROM registry_event WHERE position > %s AND position <= %s ORDER BY position"  # noqa: S608
_CLAIM = "INSERT INTO registry_key (key_id, use, subsystem, position) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
_ATTACH = "INSERT INTO registry_attachment (digest, content) VALUES (%s, %s) ON CONFLICT DO NOTHING"


class EventStore:
    """The log of one registry; for use by several threads."""

    def __init__(self, database: Database, *, migrating: bool = True) -> None:
        """Bring the database to the newest form and open it; EngineError if that cannot be.

        Without `migrating` it is taken as it is: who comes to a running instance must not change its database's form.
        """
        if migrating:
            from bus.engines.postgres_migrate import migrate  # alembic takes as long to import as all the rest

            migrate(database, MIGRATIONS)
        self._database = database
        self._pool = ConnectionPool(
            database.dsn,
            min_size=1,
            max_size=8,
            timeout=_WAIT_SECONDS,
            check=ConnectionPool.check_connection,
            kwargs={"connect_timeout": int(_WAIT_SECONDS), "application_name": "govbus-registry"},
            open=True,
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def appending(self) -> Iterator[Appender]:
        """Hold the log alone; what was appended is committed at the end, or not at all if anything is raised."""
        with self._connection() as connection:
            connection.execute(f"SET LOCAL lock_timeout = '{int(_WAIT_SECONDS)}s'")
            # Whoever stops here, a suspended command for one, lets go: somebody's server may have no such limit.
            connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE_SECONDS}s'")
            connection.execute("LOCK TABLE registry_event IN EXCLUSIVE MODE")
            yield Appender(connection)
            try:
                connection.commit()
            except psycopg.Error as error:
                raise ConnectionLost(
                    "the connection broke while the registry was recording; look whether it did, then try again"
                ) from error

    def head(self) -> int:
        """The last position; 0 when there is none."""
        with self._connection() as connection:
            return _number(connection.execute("SELECT coalesce(max(position), 0) FROM registry_event").fetchone())

    def hash_at(self, position: int) -> bytes | None:
        """The hash of the event at `position`; None if there is none."""
        query = "SELECT hash FROM registry_event WHERE position = %s"
        with self._connection() as connection:
            row = connection.execute(query, (position,)).fetchone()
        return None if row is None else bytes(row[0])

    def position_at(self, time_ms: int) -> int:
        """The last position whose event is not later than `time_ms`."""
        query = "SELECT coalesce(max(position), 0) FROM registry_event WHERE time_ms <= %s"
        with self._connection() as connection:
            return _number(connection.execute(query, (time_ms,)).fetchone())

    def events(self, after: int = 0, until: int = 2**63 - 1) -> Iterator[StoredEvent]:
        """Events with after < position <= until, in order, as one consistent view; read in portions."""
        with self._connection() as connection, connection.cursor("log", row_factory=class_row(StoredEvent)) as cursor:
            cursor.itersize = _ROWS
            yield from cursor.execute(_SELECT, (after, until))

    def attachment(self, digest: bytes) -> bytes:
        """A file that an event names; KeyError if there is none."""
        query = "SELECT content FROM registry_attachment WHERE digest = %s"
        with self._connection() as connection:
            row = connection.execute(query, (digest,)).fetchone()
        if row is None:
            raise KeyError(digest.hex())
        return bytes(row[0])

    def positions(self, seconds: float) -> Iterator[int]:
        """The head now, and again whenever it moved or `seconds` passed; ends with DatabaseUnavailable."""
        with contextlib.closing(self._database.connect(autocommit=True)) as connection, _translated():
            connection.execute(f"LISTEN {_CHANNEL}")
            while True:
                yield _number(connection.execute("SELECT coalesce(max(position), 0) FROM registry_event").fetchone())
                for _ in connection.notifies(timeout=seconds, stop_after=1):
                    pass

    @contextlib.contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[TupleRow]]:
        with _translated(), self._pool.connection() as connection:
            yield connection


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise DatabaseUnavailable("the registry's database does not answer; is it up (`govbus status`)?") from error
    except psycopg.Error as error:  # also what is no lost connection: a standby that takes no writes, a right withdrawn
        raise DatabaseUnavailable(
            f"the registry's database failed ({type(error).__name__}); is it up (`govbus status`)?"
        ) from error


def _number(row: TupleRow | None) -> int:
    assert row is not None  # noqa: S101 (an aggregate always has one row)
    return int(row[0])
