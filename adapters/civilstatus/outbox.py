"""Certificates on their way to the central store: a table that the book's own transaction writes.

A certificate is posted in the transaction that enters its birth, so neither is there without the other, and it stays
until the store has acknowledged it. Whoever takes letters out has them for a while alone; then they are there again, so
that one who died loses none. Taking one out twice is harmless: the store knows what it has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adapters.sql import Connection

__all__ = ["OUTBOX", "Letter", "post", "postpone", "set_aside", "take", "tick_off"]

OUTBOX: Final = """
CREATE TABLE outbox (
    ward text COLLATE "C" NOT NULL, year int NOT NULL, serial int NOT NULL,
    case_id text NOT NULL,
    traceparent text NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (ward, year, serial),
    FOREIGN KEY (ward, year, serial) REFERENCES birth
);
CREATE INDEX outbox_in_order ON outbox (not_before);
INSERT INTO outbox (ward, year, serial, case_id, traceparent) SELECT ward, year, serial, '', '' FROM birth;
"""
ALONE_S: Final = 60  # longer than one delivery may take
LONGEST_PAUSE_S: Final = 300
ASIDE_S: Final = 3_600
_POST: Final = "INSERT INTO outbox (ward, year, serial, case_id, traceparent) VALUES (%s, %s, %s, %s, %s)"
_TAKE: Final = (
    "UPDATE outbox SET not_before = now() + make_interval(secs => %s), attempts = attempts + 1"
    " FROM birth WHERE birth.ward = outbox.ward AND birth.year = outbox.year AND birth.serial = outbox.serial"
    " AND (outbox.ward, outbox.year, outbox.serial) IN (SELECT ward, year, serial FROM outbox"
    "  WHERE not_before <= now() ORDER BY not_before LIMIT %s FOR UPDATE SKIP LOCKED)"
    " RETURNING outbox.ward, outbox.year, outbox.serial, case_id, traceparent, certificate"
)
_POSTPONE: Final = (
    "UPDATE outbox SET not_before = now() + make_interval(secs => least(power(2, least(attempts, 20)), %s))"
    " WHERE ward = %s AND year = %s AND serial = %s"
)
_SET_ASIDE: Final = (
    "UPDATE outbox SET not_before = now() + make_interval(secs => %s) WHERE ward = %s AND year = %s AND serial = %s"
)
_TICK_OFF: Final = "DELETE FROM outbox WHERE ward = %s AND year = %s AND serial = %s"


@dataclass(frozen=True, slots=True)
class Letter:
    """One certificate that the store does not have yet."""

    ward: str
    year: int
    serial: int
    case_id: str
    traceparent: str  # of the call that registered the birth; empty when it was not traced
    certificate: bytes


async def post(connection: Connection, letter: Letter) -> None:
    """In the transaction that enters its birth."""
    values = (letter.ward, letter.year, letter.serial, letter.case_id, letter.traceparent)
    await connection.execute(_POST, values)


async def take(connection: Connection, most: int) -> list[Letter]:
    """Those that are due, oldest first, for ALONE_S."""
    found = await connection.execute(_TAKE, (ALONE_S, most))
    return [Letter(**row) for row in await found.fetchall()]


async def tick_off(connection: Connection, letter: Letter) -> None:
    """The store has it."""
    await connection.execute(_TICK_OFF, (letter.ward, letter.year, letter.serial))


async def postpone(connection: Connection, letter: Letter) -> None:
    """It did not get there: after a pause that grows with every attempt."""
    await connection.execute(_POSTPONE, (LONGEST_PAUSE_S, letter.ward, letter.year, letter.serial))


async def set_aside(connection: Connection, letter: Letter) -> None:
    """It was refused for what is in it, and will be until somebody mends that: after an hour."""
    await connection.execute(_SET_ASIDE, (ASIDE_S, letter.ward, letter.year, letter.serial))
