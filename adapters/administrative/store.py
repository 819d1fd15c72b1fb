"""The unit tables in the service's own database: statements, tables, and how the packaged lists get there.

A unit is named by list and code together, as in table.py, which reads the lists that come with the program. They are
loaded at the first start, and again when a program with other lists starts, in one transaction: a caller sees the
former lists or the new ones, never a mixture.
"""

from __future__ import annotations

from adapters.sql import Connection, PagedStatement, Schema, SqlStore, Statement  # isort: skip - before gRPC

from functools import partial
from pathlib import Path

from adapters.administrative.table import DATA, NEW_LIST, OLD_LIST, UnitTable, lists_version, load_table

__all__ = ["BY_CODE", "KNOWN", "LISTED", "RESOLVED", "open_units"]

SCHEMA = Schema(
    "administrative",
    (
        """
        CREATE TABLE loaded (version text NOT NULL);
        CREATE TABLE unit (
            code_list text COLLATE "C" NOT NULL,
            code text COLLATE "C" NOT NULL,
            level int NOT NULL GENERATED ALWAYS AS (length(code)) STORED,
            name text NOT NULL,
            parent_code text COLLATE "C" NOT NULL,
            province_code text COLLATE "C" NOT NULL,
            PRIMARY KEY (code_list, code)
        );
        CREATE UNIQUE INDEX unit_in_order ON unit (code_list, level, code);
        CREATE TABLE succession (
            old_list text COLLATE "C" NOT NULL,
            old_code text COLLATE "C" NOT NULL,
            new_list text COLLATE "C" NOT NULL,
            new_code text COLLATE "C" NOT NULL,
            PRIMARY KEY (old_list, old_code, new_list, new_code),
            FOREIGN KEY (old_list, old_code) REFERENCES unit,
            FOREIGN KEY (new_list, new_code) REFERENCES unit
        );
        CREATE INDEX succession_backward ON succession (new_list, new_code);
        """,
    ),
)

BY_CODE = Statement(
    "unit.by_code",
    "SELECT code_list, code, name, parent_code, province_code FROM unit"
    " WHERE code_list = %(code_list)s AND code = %(code)s",
)
RESOLVED = Statement(
    "unit.resolved",
    "SELECT code_list, code, name, parent_code, province_code,"
    " (SELECT coalesce(json_agg(after ORDER BY after.code), '[]')"
    "  FROM succession JOIN unit AS after ON after.code_list = new_list AND after.code = new_code"
    "  WHERE old_list = unit.code_list AND old_code = unit.code) AS successors,"
    " (SELECT coalesce(json_agg(before ORDER BY before.code), '[]')"
    "  FROM succession JOIN unit AS before ON before.code_list = old_list AND before.code = old_code"
    "  WHERE new_list = unit.code_list AND new_code = unit.code) AS predecessors"
    " FROM unit WHERE code_list = %(code_list)s AND code = %(code)s",
)
KNOWN = Statement(
    "unit.known",
    "SELECT EXISTS (SELECT FROM unit"
    " WHERE code_list = %(code_list)s AND (%(within)s = '' OR code = %(within)s)) AS known",
)
LISTED = PagedStatement(
    "unit.listed",
    "SELECT code_list, code, level, name, parent_code, province_code FROM unit"
    " WHERE code_list = %(code_list)s AND (%(level)s = 0 OR level = %(level)s)"
    " AND (%(within)s = '' OR %(within)s IN (parent_code, province_code) AND code <> %(within)s)"
    " AND (level, code) > (%(after_level)s, %(after_code)s) ORDER BY level, code LIMIT %(size)s",
    start={"level": 0, "code": ""},
)


def open_units(dsn: str, folder: Path = DATA) -> SqlStore:
    """The store; the lists of the folder are loaded when it starts running."""
    return SqlStore(BY_CODE, RESOLVED, KNOWN, LISTED, dsn=dsn, schema=SCHEMA, fill=partial(_load_lists, folder=folder))


async def _load_lists(connection: Connection, folder: Path) -> None:
    version = lists_version(folder)
    found = await (await connection.execute("SELECT version FROM loaded")).fetchone()
    if found is not None and found["version"] == version:
        return
    await connection.execute("DELETE FROM succession; DELETE FROM unit; DELETE FROM loaded")
    await _copy_units(connection, load_table(folder))
    await connection.execute("INSERT INTO loaded VALUES (%s)", (version,))


async def _copy_units(connection: Connection, table: UnitTable) -> None:
    async with connection.cursor() as cursor:
        async with cursor.copy("COPY unit (code_list, code, name, parent_code, province_code) FROM STDIN") as copy:
            for code_list in (OLD_LIST, NEW_LIST):
                for unit in table.units(code_list):
                    row = (unit.code_list, unit.code, unit.name, unit.parent_code, unit.province_code)
                    await copy.write_row(row)
        async with cursor.copy("COPY succession FROM STDIN") as copy:
            for old in table.units(OLD_LIST):
                for new in table.successors(old):
                    await copy.write_row((old.code_list, old.code, new.code_list, new.code))
