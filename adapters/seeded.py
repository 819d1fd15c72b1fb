"""Synthetic rows of a seed, copied into a program's own tables at its first start, and the note of which they are.

    given = seeded_parser("Serve ...").parse_args(arguments)        # --seed and --people
    SeededStore(..., origin=origin_of(given.seed, given.people), tables=...)

What is synthetic here is of one nation: the same seed and number of people are given to every adapter that has some.
All of it is there, in the transaction of the schema, or nothing. A database that holds the rows of another origin
cannot be started with. What takes longer than two seconds is told on standard error while it goes on.
"""

from __future__ import annotations

from adapters.runtime import CannotStart, argument_parser  # isort: skip - first, before anything that imports gRPC

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, LiteralString

from adapters.population.generate import DEFAULT_PEOPLE, DEFAULT_SEED
from adapters.sql import Connection, Schema, SqlStore, Statement

__all__ = ["ORIGIN_TABLE", "SeededStore", "Table", "origin_of", "seeded_parser"]

TELL_S: Final = 2.0
ORIGIN_TABLE: Final = "CREATE TABLE origin (what text PRIMARY KEY, value text NOT NULL);"
"""To be made by the program's own schema."""
_PIECE: Final = 1_000  # rows between two looks at the clock

Table = tuple[LiteralString, Iterable[Sequence[object]]]
"""A COPY ... FROM STDIN, and its rows."""


class SeededStore(SqlStore):
    """A SqlStore that begins with rows of a seed: `tables` makes them, `origin` says which they are. Its schema begins
    with ORIGIN_TABLE."""

    def __init__(
        self,
        *statements: Statement,
        dsn: str,
        schema: Schema,
        origin: Mapping[str, str],
        tables: Callable[[], Iterable[Table]],
    ) -> None:
        super().__init__(
            *statements, dsn=dsn, schema=schema, fill=lambda connection: _fill_once(connection, origin, tables)
        )


def seeded_parser(description: str) -> argparse.ArgumentParser:
    """The arguments of an adapter whose first rows are made up."""
    parser = argument_parser(description)
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of which population (default: %(default)s)")
    parser.add_argument("--people", type=int, default=DEFAULT_PEOPLE, help="how many it has (default: %(default)s)")
    return parser


def origin_of(seed: int, people: int) -> dict[str, str]:
    """As `_fill_once` takes it."""
    return {"seed": str(seed), "people": str(people)}


async def _fill_once(connection: Connection, origin: Mapping[str, str], make: Callable[[], Iterable[Table]]) -> None:
    """Copy what `make` makes, unless it is there; `origin` says which rows they are. CannotStart: others are there."""
    rows = await connection.execute("SELECT what, value FROM origin")
    found = {row["what"]: row["value"] for row in await rows.fetchall()}
    if found == origin:
        return
    if found:
        raise CannotStart(
            f"the database holds {_told(found)}, not {_told(origin)}; ask for those, or give another database"
        )
    for copy, values in make():
        await _copy(connection, copy, values)
    async with connection.cursor() as cursor:
        await cursor.executemany("INSERT INTO origin VALUES (%s, %s)", list(origin.items()))


async def _copy(connection: Connection, statement: LiteralString, rows: Iterable[Sequence[object]]) -> None:
    told = time.monotonic()
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for number, row in enumerate(rows, 1):
            await copy.write_row(row)
            if number % _PIECE == 0 and time.monotonic() - told >= TELL_S:
                told = time.monotonic()
                sys.stderr.write(f"{number:,} synthetic rows made\n")
                sys.stderr.flush()


def _told(origin: Mapping[str, str]) -> str:
    return ", ".join(f"{what} {value}" for what, value in sorted(origin.items()))
