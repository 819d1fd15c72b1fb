"""`govbus up` and `down`: everything from nothing, found again, whole whatever was killed when."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bus.engines.postgres import Postgres
from bus.engines.postgres_owners import ADMINISTRATOR
from bus.engines.supervisor import EngineError
from bus.registry.fold import Act
from bus.registry.members import MemberAdded
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from bus.up import guardian
from bus.up.background import start_supervisor, told_options
from bus.up.clock import now_ms
from bus.up.database import registry_database
from bus.up.layout import Layout
from bus.up.options import Options
from bus.up.process import guardian_pid, supervisor_pid
from pki.files import ensure_private_directory
from tests.bus.cli.conftest import COMMAND, Commands


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Commands]:
    """A directory of its own; whatever runs there at the end is ended."""
    commands = Commands(tmp_path / "s t")
    yield commands
    if Layout(commands.state).facts() is not None:
        commands.run("down", "--wipe", "--yes")
    assert not commands.state.exists() or Layout(commands.state).facts() is None


def wait_until(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.3)  # most look by a whole `status`, beside what they wait for


def came_back(commands: Commands, name: str) -> bool:
    part = commands.part(name)
    return bool(part["facts"]["starts"] == 2 and part["state"] == "up")


def test_everything_is_up_after_the_first_start(instance: Commands) -> None:
    found = instance.json("status")
    assert found["up"] is True
    assert [one["part"] for one in found["parts"]] == [
        "supervisor",
        "postgres",
        "registry",
        "publisher",
        "enrolment",
        "broker",
        "ledger",
        "certificates",
    ]
    assert {one["state"] for one in found["parts"]} == {"up"}
    assert "bus.test.example" in instance.run("status").stdout


def test_second_start_beside_the_first_is_refused(instance: Commands) -> None:
    assert "already runs" in instance.refused("up")
    assert "already runs" in instance.refused("up", "--foreground")


def test_second_start_finds_what_the_first_made_until_it_is_wiped(fresh: Commands) -> None:
    """Also two instances side by side: the session's one runs meanwhile."""
    first = fresh.json("up", "--trust-domain", "bus.one.example")
    key = (fresh.state / "policy-key.pem").read_bytes()
    position = fresh.part("registry")["facts"]["position"]
    assert fresh.json("down")["was_running"] is True
    assert fresh.json("down")["was_running"] is False
    assert fresh.json("status", status=1)["up"] is False
    assert "it does not run" in fresh.run("status", "--serving", status=1).stdout
    assert "leave the names" in fresh.refused("up", "--trust-domain", "bus.two.example")
    second = fresh.json("up")
    assert (second["trust_domain"], second["address"]) == (first["trust_domain"], first["address"])
    assert second["policy_version"] > first["policy_version"]
    assert (fresh.state / "policy-key.pem").read_bytes() == key
    assert fresh.part("registry")["facts"]["position"] == position
    assert "nothing was done" in fresh.refused("down", "--wipe")
    assert fresh.json("status")["up"] is True
    fresh.run("down", "--wipe", "--yes")
    assert not fresh.state.exists()


def test_wipe_deletes_only_an_instance(fresh: Commands, tmp_path: Path) -> None:
    other = tmp_path / "holiday pictures"
    other.mkdir()
    assert "no instance" in fresh.refused("down", "--wipe", "--yes", "--state", other)
    assert other.exists()


@pytest.mark.parametrize("each", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_start_that_was_killed_after_any_of_its_steps_is_taken_up_again(fresh: Commands, each: int) -> None:
    """Each try gets `each` steps further than the one before, over what that one left."""
    layout, done, seen, ready = Layout(fresh.state), list[str](), set[str](), False
    while not ready:
        killed, said = "", ""
        try:
            for told in start_supervisor(layout, Options()):
                ready = "ready" in told
                if killed or ready or told["step"] in seen:
                    continue
                seen.add(told["step"])
                if len(seen) % each == 0:
                    killed = told["step"]
                    os.kill(supervisor_pid(layout) or 0, signal.SIGKILL)
        except EngineError as error:
            said = str(error)
        assert bool(killed) == ("in the midst of its start (SIGKILL)" in said) != ready
        assert (supervisor_pid(layout), guardian_pid(layout)) == (None, None) or ready
        done.append(killed)
    assert len(done) > 6 // each
    assert fresh.json("status")["up"] is True
    assert fresh.part("registry")["facts"]["position"] >= 6


def test_parts_that_are_killed_come_back(fresh: Commands) -> None:
    """Killed children are started again."""
    fresh.run("up")
    pid = fresh.part("postgres")["facts"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    found = {one["part"]: one["state"] for one in fresh.json("status", status=1)["parts"]}
    os.kill(pid, signal.SIGCONT)
    assert (found["postgres"], found["registry"], found["publisher"], found["broker"]) == (
        "stale",
        "down",
        "stale",
        "up",
    )
    for name in ("postgres", "broker", "ledger"):
        os.kill(fresh.part(name)["facts"]["pid"], signal.SIGKILL)
        wait_until(partial(came_back, fresh, name))


def test_supervisor_and_guardian_that_are_killed_come_back(fresh: Commands) -> None:
    """Either by the other; both at once by the next start, which finds a state that it takes up."""
    layout = Layout(fresh.state)
    fresh.run("up")
    kill_supervisor(fresh, restarts=1)
    first = guardian_pid(layout)
    wait_until(lambda: fresh.json("status", status=None)["up"])
    os.kill(first or 0, signal.SIGKILL)
    wait_until(lambda: guardian_pid(layout) not in (None, first))
    assert "already runs" in fresh.refused("up")
    kill_supervisor(fresh, restarts=2)
    wait_until(lambda: fresh.json("status", status=None)["up"])
    running = [guardian_pid(layout), supervisor_pid(layout)]
    for pid in running:
        os.kill(pid or 0, signal.SIGKILL)
    wait_until(lambda: (guardian_pid(layout), supervisor_pid(layout)) == (None, None))
    assert fresh.part("supervisor")["next"].startswith("start it: govbus up")
    fresh.run("up")
    assert guardian_pid(layout) is not None
    fresh.run("down")
    assert (guardian_pid(layout), supervisor_pid(layout)) == (None, None)


def kill_supervisor(commands: Commands, restarts: int) -> None:
    """And wait until another one is there."""
    former = supervisor_pid(Layout(commands.state))
    os.kill(former or 0, signal.SIGKILL)

    def back() -> bool:
        facts = commands.part("supervisor")["facts"]
        return bool(facts["pid"] not in (None, former) and facts["restarts"] == restarts)

    wait_until(back)


def test_guardian_goes_on_trying_until_it_is_told_to_end(fresh: Commands) -> None:
    """What keeps a supervisor from starting passes; `down` is the way to say that nobody wants it any more."""
    layout = Layout(fresh.state)
    layout.settle(None)
    ensure_private_directory(layout.supervisor)
    (layout.state / "policy.yaml").write_text("what no start accepts")
    layout.wanted.write_text(json.dumps(told_options(layout, Options())))
    lost = subprocess.Popen(["/bin/sleep", "60"])
    watched = os.pidfd_open(lost.pid)
    command = [sys.executable, "-I", "-S", guardian.__file__, str(layout.supervisor), "0", str(watched)]
    keeping = subprocess.Popen(command, pass_fds=[watched], stderr=subprocess.PIPE, text=True)
    os.close(watched)
    lost.kill()
    lost.wait()
    assert keeping.stderr is not None
    for line in keeping.stderr:
        if "(exit status 1); restart 2" in line:
            break
    assert keeping.poll() is None
    assert "already runs" in fresh.refused("up")
    assert fresh.part("supervisor")["state"] == "starting"
    assert fresh.json("down")["was_running"] is True
    keeping.communicate(timeout=60)
    assert guardian_pid(layout) is None
    (layout.state / "policy.yaml").unlink()


def test_database_that_does_not_start_keeps_no_call_waiting(fresh: Commands) -> None:
    """The broker serves by the last policy; the registry is tried again and comes back by itself."""
    fresh.run("up", "--trust-domain", "bus.one.example")
    fresh.run("down")
    cluster = fresh.state / "postgres" / "data" / "PG_VERSION"
    cluster.rename(cluster.with_name("away"))
    started = fresh.json("up")
    assert str(cluster) in started["waiting"]
    assert started["policy_version"] > 0
    parts = {one["part"]: one for one in fresh.json("status", status=1)["parts"]}
    up = [name for name, one in parts.items() if one["state"] == "up"]
    assert up == ["supervisor", "broker", "certificates"]
    assert (parts["publisher"]["state"], parts["ledger"]["state"]) == ("stale", "stale")
    assert fresh.run("status", "--serving").status == 0
    assert "tried again" in parts["registry"]["next"]
    assert "refuses from" in parts["publisher"]["next"]
    assert parts["registry"]["since"] is not None
    assert "does not run" in fresh.refused("member", "list")
    cluster.with_name("away").rename(cluster)
    wait_until(lambda: fresh.json("status", status=None)["up"], 60)
    added = ("member", "add", "gov/mps", "--name-vi", "a", "--name-en", "b", "--reason", "x")
    assert fresh.json(*added)["in_force"]["version"] > started["policy_version"]


def test_first_start_without_its_database_fails_and_says_so(fresh: Commands) -> None:
    said = fresh.refused("up", "--database-url", "postgresql://nobody@127.0.0.1:1/none")
    assert "the first start needs its database" in said
    assert supervisor_pid(Layout(fresh.state)) is None


@pytest.mark.parametrize("way", ["command line", "variable", "standard input"])
def test_password_of_the_database_is_warned_of_where_others_read_it(fresh: Commands, way: str) -> None:
    """/proc shows a command line to every user, and with --foreground it stands there for ever."""
    address = "postgresql://nobody:hunter2@127.0.0.1:1/none?connect_timeout=1"
    given = {"command line": [address], "standard input": ["-"]}.get(way)
    arguments = ["--database-url", *given] if given else []
    environment = fresh.environment | ({"GOVBUS_DATABASE_URL": address} if way == "variable" else {})
    done = subprocess.run(
        [*COMMAND, "up", *arguments], env=environment, input=f"{address}\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the first start needs its database" in done.stderr
    assert ("can read a command line" in done.stderr) == (way == "command line")
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.soak
def test_change_recorded_by_a_clock_that_was_ahead_does_not_block_the_registry_for_ever(fresh: Commands) -> None:
    """Every later change would wait for that time, and all certificates end within a day."""
    fresh.run("up")
    layout = Layout(fresh.state)
    added = ("member", "add", "--name-vi", "a", "--name-en", "b", "--reason", "x")
    with EventStore(registry_database(layout), migrating=False) as store:
        ahead = Registry(store, lambda: now_ms() + 400 * 86_400_000)
        position = ahead.record([MemberAdded("gov", "mps", "a", "b")], Act("ops:test", "x"))[-1].position
    assert "up --clock-was-ahead" in fresh.refused(*added, "gov/moj")
    part = fresh.part("registry")
    assert (part["state"], "in the future" in part["next"]) == ("stale", True)
    found = fresh.json("doctor", status=1)
    assert any(one["check"] == "clock" and "in the future" in one["found"] for one in found["findings"])
    fresh.run("down")
    fresh.run("up", "--clock-was-ahead")
    assert fresh.json(*added, "gov/moj")["in_force"] is not None
    assert fresh.part("registry")["state"] == "up"
    (told,) = (one for one in fresh.json("history") if one["position"] == position + 1)
    assert told["kind"] == "clock.set-back"
    fresh.run("down")
    assert "does not lie in the future" in fresh.refused("up", "--clock-was-ahead")


def test_reader_that_has_enough_is_no_failure(instance: Commands) -> None:
    for command in ("status", "status --json", "logs -n 1000", "history", "ledger key"):
        script = f"set -o pipefail; {' '.join(map(shlex.quote, COMMAND))} {command} | true"
        done = subprocess.run(["/bin/bash", "-c", script], env=instance.environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), command


def test_foreground_ends_in_order_at_an_interrupt(fresh: Commands) -> None:
    command = [*COMMAND, "up", "--foreground", "--json"]
    running = subprocess.Popen(
        command, env=fresh.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout is not None
        document = ""
        while not document.endswith("}\n") and (line := running.stdout.readline()):  # "": it ended
            document += line
        assert json.loads(document)["pid"] == supervisor_pid(Layout(fresh.state))
        wait_until(lambda: guardian_pid(Layout(fresh.state)) == running.pid)
        kill_supervisor(fresh, restarts=1)
    finally:
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 0, said
    assert supervisor_pid(Layout(fresh.state)) is None
    assert not list((fresh.state / "postgres" / "data").glob("postmaster.pid"))


def test_somebody_elses_database_is_used_and_remembered(fresh: Commands, postgres_server: Postgres) -> None:
    dba = postgres_server.database("operator")
    password = (postgres_server.home / "passwords" / ADMINISTRATOR).read_text()
    server = make_conninfo(host=str(postgres_server.sockets), dbname="postgres", user=ADMINISTRATOR, password=password)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("ALTER ROLE operator CREATEROLE CREATEDB")
    address = fresh.state.parent / "address"
    address.write_text(f"{dba.dsn}\n")
    done = fresh.run("up", "--database-url", f"@{address}")
    assert "command line" not in done.stderr
    assert fresh.part("postgres")["facts"] == {"server": "behind --database-url"}
    added = ("member", "add", "gov/mps", "--name-vi", "a", "--name-en", "b", "--reason", "x")
    assert fresh.json(*added)["in_force"]["version"] > 1
    fresh.run("down")
    assert fresh.run("up").status == 0
    assert fresh.json("status")["up"] is True
    assert not (fresh.state / "postgres" / "data").exists()


def test_directory_of_a_file_made_instance_is_refused(fresh: Commands) -> None:
    fresh.state.mkdir(mode=0o700)
    (fresh.state / "policy.yaml").write_text("version: 1\n")
    assert "policy.yaml" in fresh.refused("up")


def test_logs_of_each_part_are_shown_and_followed(instance: Commands) -> None:
    assert "policy version 1 published" in instance.run("logs", "publisher", "-n", "1000").stdout
    assert "ready to accept connections" in instance.run("logs", "postgres").stdout
    lines = instance.json("logs", "supervisor", "-n", "1000")
    assert any("ready after" in one["line"] for one in lines)
    following = subprocess.Popen(
        [*COMMAND, "logs", "supervisor", "-f", "-n", "0"], env=instance.environment, stdout=subprocess.PIPE, text=True
    )
    try:
        # Whenever it is ready to follow, the next line comes.
        with Layout(instance.state).log.open("a", buffering=1) as file:
            assert following.stdout is not None
            while not select.select([following.stdout], [], [], 0.3)[0]:
                assert following.poll() is None
                file.write("[now][supervisor] test: a line\n")
        assert "a line" in following.stdout.readline()
    finally:
        following.send_signal(signal.SIGINT)
        try:
            following.communicate(timeout=30)
        finally:
            following.kill()
            following.wait()
    assert following.returncode == 0
