"""Migrations: a folder of alembic revisions, run forward only, all of them in one transaction with their version.

1. One runner at a time: the transaction starts with an advisory lock, whoever waits finds the work done.
2. Either every missing revision is applied or none. A crash leaves the former version.
3. A database that knows a revision which this govbus does not is newer than this govbus, and is refused untouched.
4. There is no way back in code; the way back is a backup.

`<folder>/versions/*.py` hold `revision`, `down_revision` and `upgrade()`. SQLAlchemy is used here and nowhere else.
"""

from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from bus.engines.postgres_database import Database
from bus.engines.supervisor import EngineError

__all__ = ["migrate"]

_LOCK = 0x676F766275730001  # ours among a database's advisory locks
_LOCK_SECONDS = 60


def migrate(database: Database, folder: Path, target: str = "head") -> str:
    """Bring `database` to `target`, the newest revision by default; the revision that it is at afterwards.

    EngineError when the database is newer than the folder, a revision fails, or another runner does not finish within
    a minute; the database is then as it was.
    """
    scripts = ScriptDirectory(str(folder))
    revision = scripts.as_revision_number(target)
    if not isinstance(revision, str):
        raise EngineError(f"{folder} has no revision {target}, or more than one")
    engine = create_engine("postgresql+psycopg://", creator=database.connect, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            _upgrade(connection, scripts, revision, database.name)
    except DBAPIError as error:
        # The first line only: what follows it may quote rows.
        why = str(error.orig).partition("\n")[0]
        raise EngineError(f"database {database.name} could not be migrated, and is as it was: {why}") from error
    return revision


def _upgrade(connection: Connection, scripts: ScriptDirectory, revision: str, name: str) -> None:
    known = {script.revision for script in scripts.walk_revisions()}

    def steps(heads: tuple[str, ...], _: MigrationContext) -> list[MigrationStep]:
        unknown = [head for head in heads if head not in known]
        if unknown:
            raise EngineError(f"database {name} was migrated by a newer govbus (revision {unknown[0]}); upgrade govbus")
        return list(scripts._upgrade_revs(revision, heads))  # type: ignore[arg-type]  # says str, takes heads

    context = MigrationContext.configure(connection, opts={"fn": steps, "script": scripts})
    with Operations.context(context):
        context.run_migrations()
