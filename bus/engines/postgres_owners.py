"""One role and one database per owner, of the same name; nobody enters another's.

1. The password is random and lies in `<passwords>/<owner>`, 0600. The server is told its SCRAM verifier (RFC 5803),
   never the password itself.
2. The role may log in and nothing else; the database is its own, and PUBLIC may not connect to it.
3. Every step may be taken again: a crash between two of them is mended by the next call. The password is written down
   last, so that a written one is one that the server knows.
"""

import re
import secrets
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from bus.engines.postgres_database import Database
from bus.engines.supervisor import EngineError
from pki.files import ensure_private_directory, read_private, write_atomic

__all__ = ["ADMINISTRATOR", "new_password", "owner_database", "provide_owner"]

ADMINISTRATOR = "govbus_admin"
"""Superuser of an embedded server; no owner may be called so."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
_RESERVED = frozenset({ADMINISTRATOR, "postgres", "template0", "template1", "public", "none"})
_PASSWORD_BYTES = 32
_LOCK = 0x676F766275730002  # ours among the maintenance database's advisory locks
_CONNECTIONS = 50
# An owner may hold a lock on what is its own for as long as it likes; nobody else waits for that longer than this.
_OWNER_WAITS, _MANY_WAIT = "SET lock_timeout = '3s'", "SET lock_timeout = '60s'"


def new_password() -> str:
    """256 random bits, printable."""
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def owner_database(server: str, passwords: Path, owner: str) -> Database:
    """The database of `owner` on `server` (a conninfo without names); FileNotFoundError before provide_owner."""
    password = read_private(passwords / _verified_name(owner)).decode("ascii")
    return Database(owner, make_conninfo(server, user=owner, dbname=owner, password=password))


def provide_owner(admin: Database, server: str, passwords: Path, owner: str) -> Database:
    """Make what is missing of `owner`'s role and database; EngineError where `admin` may not."""
    file = ensure_private_directory(passwords) / _verified_name(owner)
    try:
        with admin.connect(autocommit=True) as connection:
            connection.execute(_MANY_WAIT)
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))  # until the connection ends
            connection.execute(_OWNER_WAITS)
            if not file.exists():
                password = new_password()
                _provide_role(connection, owner, password)
                write_atomic(file, password.encode("ascii"))
            else:
                _provide_role(connection, owner, read_private(file).decode("ascii"), keep=True)
            _provide_database(connection, owner)
            database = owner_database(server, passwords, owner)
            with database.connect(autocommit=True) as own:  # under the lock too: PostgreSQL refuses two at once
                own.execute(_OWNER_WAITS)
                own.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    except psycopg.errors.LockNotAvailable as error:
        raise EngineError(
            f"the role or database {owner} is held by another transaction, its owner's perhaps; look at"
            " pg_stat_activity, or try again"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise EngineError(
            f"the administrator of the database server may not make the role and database {owner}; it needs CREATEROLE"
            " and CREATEDB"
        ) from error
    return database


def _verified_name(owner: str) -> str:
    if not _NAME.fullmatch(owner) or owner in _RESERVED or owner.startswith("pg_"):
        raise EngineError(f"{owner!r} cannot own a database; write 1-63 of a-z, 0-9 and _, a letter first")
    return owner


def _provide_role(connection: psycopg.Connection[TupleRow], owner: str, password: str, *, keep: bool = False) -> None:
    there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (owner,)).fetchone()
    if there and keep:
        return
    verifier = connection.pgconn.encrypt_password(password.encode(), owner.encode(), b"scram-sha-256").decode("ascii")
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {}").format(
            sql.SQL("ALTER" if there else "CREATE"), sql.Identifier(owner), _CONNECTIONS, verifier
        )
    )


def _provide_database(connection: psycopg.Connection[TupleRow], owner: str) -> None:
    name = sql.Identifier(owner)
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (owner,)).fetchone() is None:
        superuser = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
        if superuser != (True,):
            # Since PostgreSQL 16 an administrator without superuser rights owns what it makes only through a grant.
            connection.execute(sql.SQL("GRANT {} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE").format(name))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(name, name))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
