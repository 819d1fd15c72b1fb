"""The book of births, in a PostgreSQL database of its own.

What it promises to the service above it:

1. `enter` is one transaction: number, notice and certificate are there together or not at all, and on the disk before
   it returns.
2. A notice has at most one entry. Entering it again with the same content returns the certificate as first issued;
   with other content both methods raise NoticeConflict.
3. Numbers of a ward and year are 1, 2, 3 ... without a gap, in order of entry. They name the office whose book this is.
4. With the entry the certificate is posted to the central store (outbox.py), in the same transaction.

Certificates are kept as issued, as bytes the book does not look into.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from adapters.civilstatus.outbox import OUTBOX, Letter, post
from adapters.registration import RegistrationNumber, parse_registration_number
from adapters.source import Context, Row
from adapters.sql import Connection, Schema, SqlStore, Statement

__all__ = ["BirthBook", "BirthEntry", "NoticeConflict"]

SCHEMA = Schema(
    "civilstatus",
    (
        """
        CREATE TABLE last_number (
            ward text COLLATE "C" NOT NULL, year int NOT NULL, serial int NOT NULL,
            PRIMARY KEY (ward, year)
        );
        CREATE TABLE birth (
            ward text COLLATE "C" NOT NULL, year int NOT NULL, serial int NOT NULL,
            notice text COLLATE "C" NOT NULL UNIQUE,
            content bytea NOT NULL,
            certificate bytea NOT NULL,
            PRIMARY KEY (ward, year, serial)
        );
        """,
        OUTBOX,
        "ALTER TABLE birth ADD COLUMN office text COLLATE \"C\" NOT NULL DEFAULT ''",  # as its number names it
    ),
)
BY_NOTICE = Statement("birth.by_notice", "SELECT content, certificate FROM birth WHERE notice = %(notice)s")
BY_NUMBER = Statement(
    "birth.by_number",
    "SELECT certificate FROM birth"
    " WHERE ward = %(ward)s AND year = %(year)s AND serial = %(serial)s AND office = %(office)s",
)
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"  # of one notice
# Whoever enters in the same ward and year waits for the end of this transaction; one that fails leaves no gap.
_NEXT: Final = (
    "INSERT INTO last_number VALUES (%s, %s, 1)"
    " ON CONFLICT (ward, year) DO UPDATE SET serial = last_number.serial + 1 RETURNING serial"
)
_INSERT: Final = "INSERT INTO birth VALUES (%s, %s, %s, %s, %s, %s, %s)"


class NoticeConflict(Exception):
    """The birth notice was entered before with other content."""


@dataclass(frozen=True, slots=True)
class BirthEntry:
    """What identifies a birth before it has a number."""

    notice: str
    content: bytes  # everything the client said, to tell a repetition from a contradiction
    ward: str  # code in the current list
    year: int  # of registration
    case_id: str = ""  # in which it was registered
    traceparent: str = ""  # of the call that registered it


class BirthBook(SqlStore):
    """See the module's text; `office` is the path of the subsystem whose book it is."""

    def __init__(self, dsn: str, office: str) -> None:
        super().__init__(BY_NOTICE, BY_NUMBER, dsn=dsn, schema=SCHEMA)
        self._office = office
        self.entered = asyncio.Event()
        """Set by each entry, for whoever brings certificates to the store."""

    async def find(self, context: Context, notice: str, content: bytes) -> bytes | None:
        """The certificate issued for a notice, None if there is none yet."""
        return _certificate(await self.fetch_one(context, BY_NOTICE, {"notice": notice}), content)

    async def certificate(self, context: Context, number: str) -> bytes | None:
        """The certificate of a registration number, None if there is none in this book."""
        asked = asdict(parse_registration_number(number))
        row = await self.fetch_one(context, BY_NUMBER, asked)
        return bytes(row["certificate"]) if row else None

    async def enter(self, context: Context, entry: BirthEntry, issue: Callable[[str], bytes]) -> bytes:
        """Enter a birth; `issue` makes the certificate for the registration number it is given."""

        async def enter(connection: Connection) -> bytes:
            await connection.execute(_ONE_AT_A_TIME, (entry.notice,))
            found = await (await connection.execute(BY_NOTICE.text, {"notice": entry.notice})).fetchone()
            return _certificate(found, entry.content) or await _enter(connection, self._office, entry, issue)

        certificate = await self.write(context, "birth.enter", enter)
        self.entered.set()
        return certificate


def _certificate(row: Row | None, content: bytes) -> bytes | None:
    if row and row["content"] != content:
        raise NoticeConflict
    return bytes(row["certificate"]) if row else None


async def _enter(connection: Connection, office: str, entry: BirthEntry, issue: Callable[[str], bytes]) -> bytes:
    row = await (await connection.execute(_NEXT, (entry.ward, entry.year))).fetchone()
    assert row is not None  # noqa: S101 - RETURNING of one row
    serial = int(row["serial"])
    certificate = issue(str(RegistrationNumber(office, entry.ward, entry.year, serial)))
    values = (entry.ward, entry.year, serial, entry.notice, entry.content, certificate, office)
    await connection.execute(_INSERT, values)
    await post(connection, Letter(entry.ward, entry.year, serial, entry.case_id, entry.traceparent, certificate))
    return certificate
