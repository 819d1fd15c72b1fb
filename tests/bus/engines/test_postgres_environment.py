"""What a shell says of another PostgreSQL never reaches ours, and counts for one that a person named."""

import os
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from bus.engines.postgres import Postgres, find_database
from bus.engines.postgres_database import DatabaseUnavailable
from bus.engines.postgres_environment import libpq_variables, take_variables, with_variables
from bus.engines.postgres_external import ExternalPostgres
from bus.engines.postgres_owners import ADMINISTRATOR

HOSTILE = {
    "PGSERVICE": "nowhere",
    "PGHOST": "198.51.100.1",
    "PGHOSTADDR": "198.51.100.1",
    "PGPORT": "1",
    "PGOPTIONS": "-c statement_timeout=1 -c no_such=1",
    "PGCLIENTENCODING": "EUC_JP",
    "PGSSLMODE": "verify-full",
    "PGREQUIREAUTH": "none",
    "PGTARGETSESSIONATTRS": "standby",
    "PGDATESTYLE": "nonsense",
    "PGTZ": "nonsense",
    "PGUSER": "nobody",
    "PGPASSWORD": "no secret",
}


def shell(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell with exactly these of libpq's variables."""
    take_variables()
    monkeypatch.setattr("bus.engines.postgres_environment._taken", {})
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_variable_of_another_server_does_not_reach_ours(
    postgres_server: Postgres, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    postgres_server.database("registry")
    shell({name: HOSTILE[name]}, monkeypatch)
    with find_database(postgres_server.home.parent, "registry").connect() as connection:
        assert connection.execute("SELECT 'Đắk Lắk'").fetchone() == ("Đắk Lắk",)


def test_address_means_what_libpq_makes_of_it(
    postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its order: the address, its service, the variables."""
    services = tmp_path / "services"
    services.write_text("[ours]\nport=7\nuser=fromservice\nconnect_timeout=3\n")
    said = {"PGSERVICEFILE": str(services), "PGHOST": "db.example", "PGUSER": "someone", "PGSSLMODE": "verify-full"}
    shell(said, monkeypatch)
    found = conninfo_to_dict(with_variables("postgresql:///registry?service=ours&connect_timeout=9"))
    wanted = {
        "host": "db.example",
        "port": 7,
        "user": "fromservice",
        "sslmode": "verify-full",
        "connect_timeout": 9,
        "dbname": "registry",
        "client_encoding": "UTF8",
    }
    assert {name: found[name] for name in wanted} == {name: str(value) for name, value in wanted.items()}
    assert not {"PGHOST", "PGUSER", "PGSSLMODE", "PGSERVICE"} & os.environ.keys()
    assert libpq_variables()["PGHOST"] == "db.example"


def test_service_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell({"PGSERVICE": "nowhere"}, monkeypatch)
    with pytest.raises(DatabaseUnavailable, match="nowhere"):
        ExternalPostgres("postgresql:///registry", tmp_path).start()


def test_variables_reach_a_server_that_a_person_named(
    postgres_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    password = (postgres_server.home / "passwords" / ADMINISTRATOR).read_text(encoding="ascii")
    said = {"PGHOST": str(postgres_server.sockets), "PGPASSWORD": password, "PGCLIENTENCODING": "EUC_JP"}
    shell(said, monkeypatch)
    with ExternalPostgres(f"postgresql:///postgres?user={ADMINISTRATOR}", tmp_path) as server:
        database = server.database("named_by_variables")
    with database.connect() as connection:
        assert connection.execute("SELECT 'Đắk Lắk', current_user").fetchone() == ("Đắk Lắk", "named_by_variables")
