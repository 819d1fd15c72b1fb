"""No member reads what is another's: not its database, not its files, not its keys, not its memory."""

from itertools import permutations
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bus.engines.postgres import find_database
from bus.nation.behind import openable
from bus.nation.fence import landlock_version
from bus.nation.members import PROGRAMS
from bus.nation.server import role_of
from bus.up.database import registry_database
from tests.bus.nation.conftest import POISON, LiveNation

REFUSED = ("EACCES", "ENOENT")
HOLDERS = [one.path for one in PROGRAMS if one.database]


def dsn(nation: LiveNation, path: str) -> str:
    return (nation.home(path) / "database").read_text("utf-8").strip()


def test_members_have_a_role_and_a_database_each(nation: LiveNation) -> None:
    found = [conninfo_to_dict(dsn(nation, path)) for path in HOLDERS]
    assert [(one["user"], one["dbname"]) for one in found] == [(role_of(path), role_of(path)) for path in HOLDERS]
    assert len({one["password"] for one in found}) == len(HOLDERS)
    for path in HOLDERS:
        with psycopg.connect(dsn(nation, path)) as connection:
            rights = connection.execute(
                "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
                " WHERE rolname = current_user"
            ).fetchone()
            member_of = connection.execute(
                "SELECT rolname FROM pg_roles"
                " WHERE rolname NOT IN (current_user, 'pg_database_owner') AND pg_has_role(current_user, oid, 'MEMBER')"
            ).fetchall()
        assert rights == (False,) * 5
        assert member_of == []


def test_member_is_let_into_no_database_but_its_own(nation: LiveNation) -> None:
    for path in HOLDERS:
        with psycopg.connect(dsn(nation, path)) as connection:
            open_to_it = connection.execute(
                "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege(datname, 'CONNECT')"
            ).fetchall()
        assert open_to_it == [(role_of(path),)]
    for one, other in permutations(HOLDERS, 2):
        with pytest.raises(psycopg.OperationalError):  # its own role, at the other's database
            psycopg.connect(make_conninfo(dsn(nation, one), dbname=role_of(other)))
        password = conninfo_to_dict(dsn(nation, one))["password"]
        with pytest.raises(psycopg.OperationalError):  # the other's role, with its own password
            psycopg.connect(make_conninfo(dsn(nation, other), password=password))


def test_members_are_unknown_to_the_bus_own_server(nation: LiveNation) -> None:
    bus = conninfo_to_dict(registry_database(nation.layout).dsn)
    for path in HOLDERS:
        assert conninfo_to_dict(dsn(nation, path))["host"] != bus["host"]
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(make_conninfo(dsn(nation, path), host=bus["host"], dbname=bus["dbname"]))
    ministries = find_database(nation.layout.state / "nation", role_of(HOLDERS[0]))
    assert conninfo_to_dict(ministries.dsn)["host"] == conninfo_to_dict(dsn(nation, HOLDERS[0]))["host"]


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock, and `govbus status` says so")
def test_member_opens_no_file_of_another_and_no_memory(nation: LiveNation) -> None:
    state = nation.layout.state
    secrets = [
        *(path for path in state.rglob("*key*") if path.is_file() and path.name not in ("policy-key.pem", "key")),
        *state.glob("subsystems/*/database"),
        *state.glob("**/passwords/*"),
        *state.glob("nation/logs/*"),
        state / "nation" / "postgres" / "data",
    ]
    assert len(secrets) > 3 * len(PROGRAMS)
    pids = nation.pids()
    for program in PROGRAMS:
        home = nation.home(program.path)
        memory = [Path(f"/proc/{pid}/{name}") for pid in pids.values() for name in ("environ", "mem")]
        found = openable(home, [*secrets, *memory])
        own = {path for path, said in found.items() if Path(path).is_relative_to(home)}
        assert own
        assert {found[path] for path in own} == {"opened"}
        assert {path: said for path, said in found.items() if path not in own and said not in REFUSED} == {}


def test_members_homes_and_their_files_are_nobody_elses(nation: LiveNation) -> None:
    for program in PROGRAMS:
        home = nation.home(program.path)
        assert home.stat().st_mode & 0o777 == 0o700
        private = [home / "signing-key.pem", home / "tls" / "key.pem"]
        private += [home / "database"] if program.database else []
        assert {path.stat().st_mode & 0o777 for path in private} == {0o600}
    keys = {(nation.home(one.path) / "signing-public.pem").read_bytes() for one in PROGRAMS}
    assert len(keys) == len(PROGRAMS)


def test_callers_variables_reach_no_member_and_no_server(nation: LiveNation) -> None:
    for part, pid in nation.pids().items():
        told = dict(line.partition("=")[::2] for line in Path(f"/proc/{pid}/environ").read_text("utf-8").split("\0"))
        assert not set(POISON) & set(told), part
        assert len(told) < 12, part
