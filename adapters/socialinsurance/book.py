"""What insurance knows and decided: one PostgreSQL database of its own; employments are filled in at the first start.

1. `enter` is one transaction, on the disk before it returns: a decision is there whole or not at all.
2. A number that a client brought has at most one decision of each kind. Entering it again with the same content
   returns what was decided first; with other content `find` and `enter` raise NumberConflict.
3. A child has at most one decision of each kind: under another number `enter` raises ChildDecided.
4. Whether a mother has been decided on for the same birth is seen in the transaction that decides: of two claims for
   twins at once, the second one sees the first.

Decisions are kept as issued, as bytes that the book does not look into.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Final

from adapters.administrative.table import load_table
from adapters.business.generate import tax_codes
from adapters.population.generate import DEFAULT_YEAR, generate
from adapters.seeded import ORIGIN_TABLE, SeededStore, Table, origin_of
from adapters.socialinsurance.generate import EmploymentRecord, employments
from adapters.socialinsurance.rules import ONE_BIRTH_DAYS
from adapters.source import Context, Row
from adapters.sql import Connection, Schema, Statement

__all__ = ["Book", "ChildDecided", "Decision", "Entry", "Found", "Kind", "NumberConflict"]

SCHEMA = Schema(
    "socialinsurance",
    (
        ORIGIN_TABLE
        + """
        CREATE TABLE employment (
            person text COLLATE "C" PRIMARY KEY,
            employer text NOT NULL, months int NOT NULL, salary_vnd bigint NOT NULL
        );
        CREATE TABLE decision (
            kind text COLLATE "C" NOT NULL, number text COLLATE "C" NOT NULL,
            child text COLLATE "C" NOT NULL,
            content text NOT NULL,
            decided bytea NOT NULL,
            PRIMARY KEY (kind, number),
            UNIQUE (kind, child)
        );
        CREATE SEQUENCE insurance_number START 7900000001 MAXVALUE 9999999999;
        """,
        """
        ALTER TABLE decision
            ADD COLUMN mother text COLLATE "C" NOT NULL DEFAULT '', ADD COLUMN born date; -- of allowances
        CREATE INDEX decision_of_mother ON decision (mother, born) WHERE mother <> '';
        """,
    ),
)
EMPLOYMENT = Statement(
    "employment.of_person", "SELECT person, employer, months, salary_vnd FROM employment WHERE person = %(person)s"
)
DECISION = Statement(
    "decision.by_number", "SELECT content, decided FROM decision WHERE kind = %(kind)s AND number = %(number)s"
)
# Of one number, then of one child: whoever is second waits, and sees what the first one did.
_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
_OF_CHILD: Final = "SELECT FROM decision WHERE kind = %s AND child = %s"
_OF_BIRTH: Final = "SELECT FROM decision WHERE mother = %s AND born BETWEEN %s AND %s"
_NEXT: Final = "SELECT nextval('insurance_number') AS number"
_INSERT: Final = "INSERT INTO decision VALUES (%s, %s, %s, %s, %s, %s, %s)"


class NumberConflict(Exception):
    """The number was used before with other content."""


class ChildDecided(Exception):
    """The child has a decision under another number."""


class Kind(StrEnum):
    """What is decided on."""

    CARD = "card"
    ALLOWANCE = "allowance"


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """What identifies a decision before it is made."""

    kind: Kind
    number: str  # that the client brought
    child: str  # person number
    content: str  # everything the client said, to tell a repetition from a contradiction


@dataclass(frozen=True, slots=True)
class Found:
    """What the book knows when a decision is made."""

    fresh_number: str  # insurance number of 10 digits, for a card; empty otherwise
    sibling: bool  # whether there is an allowance for another child of the same birth


@dataclass(frozen=True, slots=True, repr=False)
class Decision:
    """All that was asked for; `issue` makes the decision."""

    issue: Callable[[Found], bytes]
    mother: str = ""  # person number, and when her child was born: of an allowance
    born: date | None = None


class Book(SeededStore):
    """See the module's text; `seed` and `people` say which population is employed."""

    def __init__(self, dsn: str, seed: int, people: int) -> None:
        origin = origin_of(seed, people)
        super().__init__(
            EMPLOYMENT, DECISION, dsn=dsn, schema=SCHEMA, origin=origin, tables=lambda: _tables(seed, people)
        )

    async def employment(self, context: Context, person: str) -> EmploymentRecord | None:
        row = await self.fetch_one(context, EMPLOYMENT, {"person": person})
        return EmploymentRecord(**row) if row else None

    async def find(self, context: Context, entry: Entry) -> bytes | None:
        """What was decided under the entry's number, None if nothing was yet."""
        row = await self.fetch_one(context, DECISION, {"kind": entry.kind, "number": entry.number})
        return _decided(row, entry)

    async def enter(self, context: Context, entry: Entry, decision: Decision) -> bytes:
        """Enter a decision; what was decided."""

        async def enter(connection: Connection) -> bytes:
            for one in (entry.number, entry.child, *([f"mother {decision.mother}"] if decision.mother else [])):
                await connection.execute(_ONE_AT_A_TIME, (f"{entry.kind} {one}",))
            asked = {"kind": entry.kind, "number": entry.number}
            row = await (await connection.execute(DECISION.text, asked)).fetchone()
            return _decided(row, entry) or await _enter(connection, entry, decision)

        return await self.write(context, "decision.enter", enter)


def _tables(seed: int, people: int) -> Iterable[Table]:
    everybody = generate(load_table(), seed, people, DEFAULT_YEAR)
    found = employments(everybody, tax_codes(seed, people), seed)
    yield "COPY employment FROM STDIN", _rows(found)


def _rows(found: Iterable[EmploymentRecord]) -> Iterator[tuple[str | int, ...]]:
    """In the order of the table's columns."""
    for each in found:
        yield each.person, each.employer, each.months, each.salary_vnd


def _decided(row: Row | None, entry: Entry) -> bytes | None:
    if row and row["content"] != entry.content:
        raise NumberConflict
    return bytes(row["decided"]) if row else None


async def _enter(connection: Connection, entry: Entry, decision: Decision) -> bytes:
    if await (await connection.execute(_OF_CHILD, (entry.kind, entry.child))).fetchone() is not None:
        raise ChildDecided
    number = await _fresh_number(connection) if entry.kind is Kind.CARD else ""
    decided = decision.issue(Found(number, await _has_sibling(connection, decision)))
    values = (entry.kind, entry.number, entry.child, entry.content, decided, decision.mother, decision.born)
    await connection.execute(_INSERT, values)
    return decided


async def _has_sibling(connection: Connection, decision: Decision) -> bool:
    if decision.born is None:
        return False
    apart = timedelta(days=ONE_BIRTH_DAYS)
    asked = (decision.mother, decision.born - apart, decision.born + apart)
    return await (await connection.execute(_OF_BIRTH, asked)).fetchone() is not None


async def _fresh_number(connection: Connection) -> str:
    row = await (await connection.execute(_NEXT)).fetchone()
    assert row is not None  # noqa: S101 - SELECT of one value
    return f"{row['number']:010d}"
