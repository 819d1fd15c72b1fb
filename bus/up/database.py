"""The registry's database of a running instance, for other processes of the same user."""

from bus.engines.postgres import find_database
from bus.engines.postgres_database import Database
from bus.engines.postgres_external import ExternalPostgres
from bus.engines.supervisor import EngineError
from bus.up.layout import REGISTRY, Layout
from pki.files import read_private

__all__ = ["registry_database", "registry_head"]


def registry_database(layout: Layout) -> Database:
    """Where the registry's log is; EngineError when its server does not run."""
    if layout.database_url.exists():
        return ExternalPostgres(read_private(layout.database_url).decode(), layout.state).database(REGISTRY)
    try:
        return find_database(layout.state, REGISTRY)
    except EngineError as error:
        raise EngineError(
            f"the instance in {layout.state} does not run; start it with `govbus up --state {layout.state}`"
        ) from error


def registry_head(layout: Layout) -> tuple[int, int]:
    """Position and time of the last event; DatabaseUnavailable when nobody answers."""
    with registry_database(layout).connect(autocommit=True) as connection:
        row = connection.execute(
            "SELECT position, time_ms FROM registry_event ORDER BY position DESC LIMIT 1"
        ).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))
