"""Where the records are: one PostgreSQL database of the store's own.

1. A record is named by type, source and key. Its versions are rows of their own, never changed and never deleted.
2. `put` is one transaction, on the disk before it returns. The same version with the same body changes nothing and
   answers what the first one did; with another body, or older than the newest, it raises VersionTaken.
3. `entries` are those of one source and one type, the newest version of each key, in order of the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.source import Context, Page, Row
from adapters.sql import Connection, PagedStatement, Schema, SqlStore, Statement

__all__ = ["Name", "Origin", "Records", "Stored", "VersionTaken"]

SCHEMA = Schema(
    "store",
    (
        """
        CREATE TABLE record (
            type text COLLATE "C" NOT NULL, source text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL,
            version bigint NOT NULL,
            body bytea NOT NULL,
            request_id bytea NOT NULL, purpose text NOT NULL, stored_at_ms bigint NOT NULL,
            PRIMARY KEY (type, source, key, version)
        );
        """,
    ),
)
_NAMED: Final = " FROM record WHERE type = %(type)s AND source = %(source)s AND key = %(key)s"
NEWEST = Statement(
    "record.newest",
    "SELECT version, body, request_id, purpose, stored_at_ms" + _NAMED + " ORDER BY version DESC LIMIT 1",
)
VERSION = Statement(
    "record.version",
    "SELECT version, body, request_id, purpose, stored_at_ms" + _NAMED + " AND version = %(version)s",
)
OF_SOURCE = PagedStatement(
    "record.of_source",
    "SELECT key, version, request_id, purpose, stored_at_ms FROM record AS one"
    " WHERE type = %(type)s AND source = %(source)s AND key > %(after_key)s AND NOT EXISTS (SELECT FROM record AS newer"
    " WHERE newer.type = one.type AND newer.source = one.source AND newer.key = one.key"
    " AND newer.version > one.version) ORDER BY key LIMIT %(size)s",
    start={"key": ""},
)
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"  # of one name
_INSERT: Final = "INSERT INTO record VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"


class VersionTaken(Exception):
    """The version is there with another body, or is older than the newest."""


@dataclass(frozen=True, slots=True)
class Name:
    """What names a record."""

    type: str
    source: str  # path of the subsystem
    key: str

    @property
    def values(self) -> dict[str, object]:
        """As the statements take it."""
        return {"type": self.type, "source": self.source, "key": self.key}


@dataclass(frozen=True, slots=True)
class Origin:
    """Of the call that put a version."""

    request_id: bytes
    purpose: str
    stored_at_ms: int


@dataclass(frozen=True, slots=True, repr=False)
class Stored:
    """One version."""

    version: int
    body: bytes
    origin: Origin


class Records(SqlStore):
    """See the module's text."""

    def __init__(self, dsn: str) -> None:
        super().__init__(NEWEST, VERSION, OF_SOURCE, dsn=dsn, schema=SCHEMA)

    async def get(self, context: Context, name: Name, version: int) -> Stored | None:
        """One version, the newest for 0; None if there is none."""
        if version:
            row = await self.fetch_one(context, VERSION, {**name.values, "version": version})
        else:
            row = await self.fetch_one(context, NEWEST, name.values)
        return _stored(row) if row else None

    async def entries(self, context: Context, record_type: str, source: str, size: int, token: str) -> Page:
        """Some of a source's records."""
        return await self.fetch_page(
            context, OF_SOURCE, {"type": record_type, "source": source}, size=size, token=token
        )

    async def put(self, context: Context, name: Name, stored: Stored) -> Origin:
        """The origin of the version, which is that of the first call if this one repeats it."""

        async def put(connection: Connection) -> Origin:
            await connection.execute(_ONE_AT_A_TIME, ("\n".join((name.type, name.source, name.key)),))
            found = await (await connection.execute(NEWEST.text, name.values)).fetchone()
            if found and found["version"] > stored.version:
                asked = {**name.values, "version": stored.version}
                found = await (await connection.execute(VERSION.text, asked)).fetchone()
                if found is None:
                    raise VersionTaken
            if found and found["version"] == stored.version:
                return _same(_stored(found), stored)
            return await _enter(connection, name, stored)

        return await self.write(context, "record.put", put)


def _same(found: Stored, put: Stored) -> Origin:
    if found.body != put.body:
        raise VersionTaken
    return found.origin


async def _enter(connection: Connection, name: Name, stored: Stored) -> Origin:
    origin = stored.origin
    values = (stored.version, stored.body, origin.request_id, origin.purpose, origin.stored_at_ms)
    await connection.execute(_INSERT, (name.type, name.source, name.key, *values))
    return origin


def _stored(row: Row) -> Stored:
    origin = Origin(bytes(row["request_id"]), row["purpose"], row["stored_at_ms"])
    return Stored(row["version"], bytes(row["body"]), origin)
