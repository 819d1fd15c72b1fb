"""Our own PostgreSQL: started, killed, orphaned, found again; nothing that was committed is lost."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bus.engines.postgres import Postgres, find_database
from bus.engines.postgres_account import Account, choose_account
from bus.engines.postgres_binaries import Binaries, copy_binaries, find_binaries
from bus.engines.postgres_cluster import make_cluster
from bus.engines.postgres_database import Database, DatabaseUnavailable
from bus.engines.postgres_leftovers import settle_leftovers
from bus.engines.supervisor import EngineError

ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory whose path is too long for a socket, has a space and a quote in it."""
    state = tmp_path_factory.mktemp("state") / f"a 'state' {'x' * 90}"
    state.mkdir(mode=0o700)
    return state


@pytest.fixture
def server(state: Path) -> Iterator[Postgres]:
    """A server that the test may hurt; the data directory is made once."""
    with Postgres(state) as server:
        yield server


def count(database: Database) -> int:
    """Rows in a table of ours, after adding one."""
    with database.connect() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS mark (at timestamptz DEFAULT now())")
        connection.execute("INSERT INTO mark DEFAULT VALUES")
        row = connection.execute("SELECT count(*) FROM mark").fetchone()
    assert row is not None
    return int(row[0])


def gone(pid: int | None) -> bool:
    """Ended, whether or not the system has collected it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def eventually(condition: object, seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]  # a callable
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.02)


def test_second_start_finds_the_data_of_the_first(state: Path) -> None:
    with Postgres(state) as first:
        before = count(first.database("registry"))
    assert not first.sockets.exists()
    with Postgres(state) as second:
        assert count(second.database("registry")) == before + 1
        assert count(find_database(state, "registry")) == before + 2
    with pytest.raises(EngineError, match="govbus up"):
        find_database(state, "registry")


def test_second_server_of_one_state_directory_is_refused(server: Postgres, state: Path) -> None:
    with pytest.raises(EngineError, match="already runs"):
        Postgres(state)


def test_two_state_directories_run_side_by_side(server: Postgres, postgres_server: Postgres) -> None:
    assert server.supervisor.pid != postgres_server.supervisor.pid
    with server.database("registry").connect() as one, postgres_server.database("registry").connect() as other:
        assert one.info.host != other.info.host


def test_killed_server_comes_back_with_what_was_committed(server: Postgres) -> None:
    database = server.database("registry")
    before = count(database)
    starts, pid = server.supervisor.starts, server.supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: server.supervisor.starts > starts and server.supervisor.ready)
    assert count(database) == before + 1


def test_stop_does_not_wait_for_a_client_in_a_transaction(state: Path) -> None:
    server = Postgres(state)
    server.start()
    with contextlib.closing(server.database("registry").connect()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS unfinished (x int)")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 8
        with pytest.raises(psycopg.OperationalError):
            connection.commit()


def test_server_of_a_killed_owner_ends_and_the_next_start_finds_the_data(state: Path) -> None:
    with Postgres(state) as server:
        before = count(server.database("registry"))
    script = (
        "import sys, time; from pathlib import Path; from bus.engines.postgres import Postgres\n"
        "server = Postgres(Path(sys.argv[1])); server.start(); print(server.supervisor.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, state], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        with contextlib.closing(find_database(state, "registry").connect()):
            owner.kill()
            owner.wait()
            with Postgres(state) as server:
                assert gone(pid)
                assert count(server.database("registry")) == before + 1


def test_postmaster_without_a_supervisor_is_ended(server: Postgres) -> None:
    starts, pid = server.supervisor.starts, server.supervisor.pid
    settle_leftovers(server.home / "data")
    assert gone(pid)
    eventually(lambda: server.supervisor.starts > starts and server.supervisor.ready)


def test_lock_file_that_names_a_stranger_does_not_stop_a_start(state: Path) -> None:
    lock = state / "postgres" / "data" / "postmaster.pid"
    with Postgres(state):
        content = lock.read_bytes()
    account = choose_account(lock.parent)
    stranger = subprocess.Popen(account.launch(["/bin/sleep", "600"]))
    try:
        lock.write_bytes(b"%d\n%s" % (stranger.pid, content.partition(b"\n")[2]))
        account.own(lock)
        lock.chmod(0o600)
        with Postgres(state) as server:
            count(server.database("registry"))
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_half_made_cluster_is_made_again(tmp_path: Path) -> None:
    half = tmp_path / "postgres" / "data.new"
    half.mkdir(parents=True)
    (tmp_path / "postgres").chmod(0o700)
    (half / "PG_VERSION").write_text("18\n")
    with Postgres(tmp_path) as server:
        assert count(server.database("registry")) == 1
    assert not half.exists()


def test_broken_cluster_says_where_to_look_and_leaves_nothing_running(tmp_path: Path) -> None:
    with Postgres(tmp_path):
        pass
    control = tmp_path / "postgres" / "data" / "global" / "pg_control"
    control.rename(control.with_name("gone"))
    server = Postgres(tmp_path)
    with pytest.raises(EngineError, match=r"postgres\.log"):
        server.start(timeout=2)
    assert server.supervisor.pid is None
    Postgres(tmp_path).stop()  # the lock is free again


def test_cluster_of_another_version_is_refused_untouched(server: Postgres, state: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EngineError, match="made by PostgreSQL 17"):
        make_cluster(tmp_path, find_binaries(choose_account(data.parent / "none")), Account(0, 0), "secret")
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_connecting_to_a_server_that_hangs_is_bounded(server: Postgres) -> None:
    pid = server.supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable):
            server.database("registry")
        assert time.monotonic() - began < 10
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.skipif(not ROOT, reason="only root has to change identity")
def test_root_runs_postgresql_under_another_account(server: Postgres) -> None:
    status = Path(f"/proc/{server.supervisor.pid}/status").read_text(encoding="ascii")
    identity = dict(line.split(":", 1) for line in status.splitlines())
    assert 0 not in {int(one) for name in ("Uid", "Gid") for one in identity[name].split()}
    assert identity["Groups"].split() == []
    assert (server.home / "data").stat().st_uid != 0
    assert server.home.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(not ROOT, reason="only root has to change identity")
def test_binaries_that_the_account_cannot_reach_are_copied_once(tmp_path: Path) -> None:
    account = choose_account(tmp_path / "data")
    here = find_binaries(Account(0, 0))
    shared = Path(f"/tmp/govbus-test-{os.getpid()}")  # noqa: S108 (must be reachable for another account)
    try:
        copy = copy_binaries(here.site, shared / "postgresql")
        stamp = copy.stat().st_mtime_ns
        assert copy_binaries(here.site, shared / "postgresql").stat().st_mtime_ns == stamp
        data = make_cluster(tmp_path, Binaries(copy, here.version), account, "secret")
        assert (data / "PG_VERSION").exists()
        copy.chmod(0o777)
        with pytest.raises(EngineError, match="changed by others"):
            copy_binaries(here.site, shared / "postgresql")
    finally:
        subprocess.run(["rm", "-rf", shared], check=True)
