"""Who may enter: one role and one database per owner, passwords always, no TCP, nothing about people in the log."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database, DatabaseUnavailable
from bus.engines.postgres_external import ExternalPostgres
from bus.engines.postgres_owners import ADMINISTRATOR
from bus.engines.supervisor import EngineError


def admin(server: Postgres) -> Database:
    password = (server.home / "passwords" / ADMINISTRATOR).read_text(encoding="ascii")
    dsn = make_conninfo(host=str(server.sockets), user=ADMINISTRATOR, dbname="postgres", password=password)
    return Database("postgres", dsn)


def test_owner_enters_its_own_database_and_no_other(postgres_server: Postgres) -> None:
    population, civil = postgres_server.database("population"), postgres_server.database("civilstatus")
    with population.connect() as connection:
        assert connection.execute("SELECT current_user, current_database()").fetchone() == ("population",) * 2
    for foreign in ("civilstatus", "postgres", "template1"):
        with pytest.raises(DatabaseUnavailable):
            Database(foreign, make_conninfo(population.dsn, dbname=foreign)).connect()
    with pytest.raises(DatabaseUnavailable):
        Database("civilstatus", make_conninfo(civil.dsn, user="population")).connect()


def test_database_refuses_strangers_even_where_the_access_file_would_let_them(postgres_server: Postgres) -> None:
    postgres_server.database("population")
    postgres_server.database("civilstatus")
    with admin(postgres_server).connect() as connection:
        rows = connection.execute(
            "SELECT has_database_privilege('population', datname, 'CONNECT'), datname FROM pg_database"
            " WHERE datallowconn"
        ).fetchall()
    assert {name for allowed, name in rows if allowed} == {"population"}


@pytest.mark.parametrize("holds", ["SCHEMA public", "DATABASE held"])
def test_owner_that_holds_on_to_its_own_keeps_no_other_waiting(postgres_server: Postgres, holds: str) -> None:
    held = postgres_server.database("held")
    with held.connect() as connection, ThreadPoolExecutor(1) as pool:
        connection.execute(f"GRANT ALL ON {holds} TO held")  # and does not commit
        first = pool.submit(postgres_server.database, "held")
        assert postgres_server.database("population").name == "population"
        with pytest.raises(EngineError, match="another transaction"):
            first.result(60)
        connection.rollback()
    assert postgres_server.database("held") == held


@pytest.mark.parametrize("change", [{"password": ""}, {"password": "guess"}, {"user": ADMINISTRATOR}])
def test_no_password_and_wrong_password_are_refused(postgres_server: Postgres, change: dict[str, str]) -> None:
    database = postgres_server.database("population")
    with pytest.raises(DatabaseUnavailable) as refused:
        Database("population", make_conninfo(database.dsn, **change)).connect()
    assert str(postgres_server.sockets) in str(refused.value) or "password" in str(refused.value)


def test_passwords_are_private_files_and_verifiers_in_the_server(postgres_server: Postgres) -> None:
    database = postgres_server.database("population")
    files = list((postgres_server.home / "passwords").iterdir())
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    secret = (postgres_server.home / "passwords" / "population").read_text(encoding="ascii")
    assert len(secret) >= 40
    assert secret not in repr(database)
    with admin(postgres_server).connect() as connection:
        rows = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
    assert rows
    assert all(verifier.startswith("SCRAM-SHA-256$") for (verifier,) in rows)


def test_owner_gets_back_in_after_its_password_file_was_lost(postgres_server: Postgres) -> None:
    postgres_server.database("careless")
    (postgres_server.home / "passwords" / "careless").unlink()
    with postgres_server.database("careless").connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_several_starts_of_one_owner_make_it_once(postgres_server: Postgres) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: postgres_server.database("hurried"), range(4)))
    for database in made:
        database.connect().close()


@pytest.mark.parametrize("name", ["", "A", "a-b", "1a", 'x"; DROP', "pg_x", "postgres", ADMINISTRATOR, "x" * 64])
def test_names_that_could_be_somebody_else_are_refused(postgres_server: Postgres, name: str) -> None:
    with pytest.raises(EngineError, match="cannot own a database"):
        postgres_server.database(name)


def test_server_has_no_tcp_socket(postgres_server: Postgres) -> None:
    directory = Path(f"/proc/{postgres_server.supervisor.pid}")
    mine = {os.readlink(link) for link in (directory / "fd").iterdir()}
    tables = [(directory / "net" / name).read_text(encoding="ascii").splitlines()[1:] for name in ("tcp", "tcp6")]
    assert not mine & {f"socket:[{line.split()[9]}]" for table in tables for line in table}
    assert postgres_server.sockets.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(postgres_server.sockets / ".s.PGSQL.5432")) < 107


def test_what_was_committed_is_on_the_disk(postgres_server: Postgres) -> None:
    wanted = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "data_checksums": "on"}
    with admin(postgres_server).connect() as connection:
        found = connection.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(wanted),))
        assert dict(found.fetchall()) == wanted


def test_rows_in_failing_statements_do_not_reach_the_log(postgres_server: Postgres) -> None:
    number = "001096012345"
    with postgres_server.database("population").connect(autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS person (number text PRIMARY KEY)")
        connection.execute("INSERT INTO person VALUES (%s) ON CONFLICT DO NOTHING", (number,))
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("INSERT INTO person VALUES (%s)", (number,))
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute(f"SELECT 'x{number}'::int")
    assert number not in (postgres_server.home / "postgres.log").read_text(encoding="utf-8")


def test_external_server_serves_owners_through_an_administrator(postgres_server: Postgres, tmp_path: Path) -> None:
    dba = postgres_server.database("dba")
    with admin(postgres_server).connect(autocommit=True) as connection:
        connection.execute("ALTER ROLE dba CREATEROLE CREATEDB")
    with ExternalPostgres(dba.dsn, tmp_path) as external:
        for _ in range(2):
            with external.database("elsewhere").connect() as connection:
                assert connection.execute("SELECT current_user").fetchone() == ("elsewhere",)


def test_external_administrator_without_the_right_is_told_which(postgres_server: Postgres, tmp_path: Path) -> None:
    plain = postgres_server.database("plain")
    with ExternalPostgres(plain.dsn, tmp_path) as external, pytest.raises(EngineError, match="CREATEROLE"):
        external.database("elsewhere_too")


def test_external_server_that_may_lose_commits_is_refused(postgres_server: Postgres, tmp_path: Path) -> None:
    careless = postgres_server.database("fast_and_loose")
    with careless.connect(autocommit=True) as connection:
        connection.execute("ALTER ROLE fast_and_loose SET synchronous_commit = off")
    with pytest.raises(EngineError, match="synchronous_commit"):
        ExternalPostgres(careless.dsn, tmp_path).start()


def test_wrong_address_is_refused_without_showing_it(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as refused:
        ExternalPostgres("postgresql://me:hunter2@[bad/x", tmp_path)
    assert "hunter2" not in str(refused.value)
    with pytest.raises(DatabaseUnavailable) as unreachable:
        ExternalPostgres(f"postgresql://me:hunter2@/x?host={quote(str(tmp_path))}", tmp_path).start()
    assert "hunter2" not in str(unreachable.value)
