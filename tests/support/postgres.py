"""One real PostgreSQL for the whole run, and a fresh database of it for every test that asks."""

import itertools
from collections.abc import Iterator

import pytest

from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database

__all__ = ["database", "postgres_server"]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database(postgres_server: Postgres) -> Database:
    """An empty database with a role of its own."""
    return postgres_server.database(f"test_{next(_numbers)}")
