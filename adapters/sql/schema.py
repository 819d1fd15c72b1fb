"""The tables of a program's own database, made by the program itself when it starts.

A schema is a list of steps that only ever grows. `provide` takes the steps that a database has not seen, in the
transaction of its caller: a start that was killed leaves what there was before, and the next one begins there. Two
starts at once wait for each other. A database that has seen more steps than this program knows was used by a newer
one, and one that names another program belongs to that: both are told, and nothing is changed.
"""

from __future__ import annotations

from adapters.runtime import CannotStart  # isort: skip - first, before anything that imports gRPC

from dataclasses import dataclass
from typing import Final, LiteralString

from adapters.sql.transactions import Connection

__all__ = ["Schema", "provide"]

_LOCK: Final = 0x676F766275730101  # ours among the database's advisory locks
_KNOWN: Final = "CREATE TABLE IF NOT EXISTS schema_steps (program text PRIMARY KEY, taken int NOT NULL)"


@dataclass(frozen=True, slots=True)
class Schema:
    """The steps to a program's tables, each one or more statements. One that was released is never changed."""

    program: str
    steps: tuple[LiteralString, ...]


async def provide(connection: Connection, schema: Schema) -> None:
    """Take the steps that are missing, in the open transaction; CannotStart if the database is not this program's."""
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    await connection.execute(_KNOWN)
    found = {row["program"]: row["taken"] async for row in await connection.execute("SELECT * FROM schema_steps")}
    if others := found.keys() - {schema.program}:
        raise CannotStart(f"the database is that of {min(others)}; give {schema.program} one of its own")
    taken = found.get(schema.program, 0)
    if taken > len(schema.steps):
        raise CannotStart(f"the database was used by a newer {schema.program}; start that, or restore an older one")
    for step in schema.steps[taken:]:
        await connection.execute(step)
    await connection.execute(
        "INSERT INTO schema_steps VALUES (%s, %s) ON CONFLICT (program) DO UPDATE SET taken = excluded.taken",
        (schema.program, len(schema.steps)),
    )
