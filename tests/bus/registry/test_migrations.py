"""Migrations go forward only, over a database with data in it, all or nothing."""

import ast
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

from bus.engines.postgres_database import Database
from bus.engines.postgres_migrate import migrate
from bus.engines.supervisor import EngineError
from bus.registry.event import StoredEvent, store_event
from bus.registry.registry import Registry
from bus.registry.state import EMPTY_HASH
from bus.registry.store import MIGRATIONS, EventStore
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, CIVIL, POPULATION, Log, certificate, key_id, nation, signing_key

COLUMNS = StoredEvent.__slots__


def fill(database: Database, log: Log) -> None:
    """Write a log as the first form of the database had it."""
    heads = [EMPTY_HASH, *(event.hash for event in log.events)]
    statement = f"COPY registry_event ({', '.join(COLUMNS)}) FROM STDIN"
    with database.connect() as connection, connection.cursor() as cursor, cursor.copy(statement) as copy:
        for event, head in zip(log.events, heads, strict=False):
            stored = store_event(event, head)
            copy.write_row([getattr(stored, name) for name in COLUMNS])


def test_filled_database_of_the_first_form_becomes_the_newest(database: Database) -> None:
    log = Log(nation())
    migrate(database, MIGRATIONS, "0001")
    fill(database, log)
    with EventStore(database) as store:
        registry = Registry(store, Clock())
        assert registry.state() == log.state
        with database.connect() as connection:
            claimed = connection.execute("SELECT key_id, use, subsystem FROM registry_key").fetchall()
        assert sorted(claimed) == sorted(
            [
                (key_id("population"), "signing", POPULATION),
                (key_id("civil"), "signing", CIVIL),
                (certificate(POPULATION, "population-1").key_id, "tls", POPULATION),
                (certificate(CIVIL, "civil-1").key_id, "tls", CIVIL),
            ]
        )
        registry.record([signing_key(CIVIL, "next")], ACT)


def test_several_starts_at_once_migrate_once(database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = set(pool.map(lambda _: migrate(database, MIGRATIONS), range(4)))
    assert results == {ScriptDirectory(str(MIGRATIONS)).get_current_head()}
    assert migrate(database, MIGRATIONS) in results


def test_database_of_a_newer_govbus_is_refused_untouched(database: Database) -> None:
    migrate(database, MIGRATIONS)
    with database.connect() as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(EngineError, match="newer govbus"):
        EventStore(database)


def test_failed_migration_changes_nothing(database: Database, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    head = "from alembic import op\nrevision = '{}'\ndown_revision = {!r}\ndef upgrade():\n    op.execute({!r})\n"
    for number, former, statement in (("1", None, "CREATE TABLE one (x int)"), ("2", "1", "CREATE TABLE one (x int)")):
        (tmp_path / "versions" / f"{number}.py").write_text(head.format(number, former, statement))
    with pytest.raises(EngineError, match="could not be migrated"):
        migrate(database, tmp_path)
    with database.connect() as connection, pytest.raises(psycopg.errors.UndefinedTable):
        connection.execute("SELECT * FROM one")


def test_migrations_are_one_line_and_have_no_way_back() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert len(scripts.get_heads()) == len(scripts.get_bases()) == 1
    assert all(not script.is_merge_point and not script.is_branch_point for script in scripts.walk_revisions())
    for path in (MIGRATIONS / "versions").glob("*.py"):
        names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
        assert names == {"upgrade"}, path.name
