"""What a member tries at TCP ports that are not its own: to listen at another's while that one restarts, to pass the
broker by, to reach what the machine runs beside the nation, by TCP and by what becomes TCP."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bus.engines.supervisor import EngineError
from bus.nation.behind import Apart, Reach, environment, fenced, kept_apart, ports_kept
from bus.nation.members import LAND, POPULATION, PORTAL, UNITS
from bus.nation.places import nation_directory
from bus.nation.reach import KnownReach
from bus.up.report_nation import nation as report
from bus.up.report_parts import Found
from tests.bus.nation.conftest import LiveNation

needs_ports = pytest.mark.skipif(not ports_kept(), reason="ports are open to members here, and `govbus status` says so")
# Says what each came to: ports to listen at, ports to connect to, other kinds of sockets to make,
# and to the last port to connect to, by sending, which connects without connect(2) (TCP Fast Open).
TRY = """
import errno, json, socket, sys
binds, connects, kinds = json.loads(sys.argv[1])
def told(act, *said):
    try:
        act(*said)
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
def bind(port):
    at = socket.socket()
    at.bind(("127.0.0.1", port))
def connect(port):
    socket.create_connection(("127.0.0.1", port), 10)
def send(how, *what):
    getattr(socket.socket(), how)(*what, ("127.0.0.1", [9, *connects][-1]))
print(json.dumps([[told(bind, one) for one in binds], [told(connect, one) for one in connects],
                  [told(socket.socket, *kind) for kind in kinds],
                  [told(send, "sendto", b"a", socket.MSG_FASTOPEN),
                   told(send, "sendmsg", [b"a"], [], socket.MSG_FASTOPEN)]]))
"""
MPTCP, NETLINK, DIAGNOSES, SMC = 262, 16, 4, 43
KINDS = [(2, 1, MPTCP), (10, 1, MPTCP), (NETLINK, 3, DIAGNOSES), (SMC, 1, 0), (2, 1, 0), (NETLINK, 3, 0)]


def attempt(home: Path, binds: list[int], connects: list[int], reach: Reach, apart: Apart) -> list[list[str]]:
    command = [sys.executable, "-I", "-S", "-c", TRY, json.dumps([binds, connects, KINDS])]
    ran = subprocess.run(
        fenced(home, command, apart=apart, reach=reach),
        env=environment(home),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    found: list[list[str]] = json.loads(ran.stdout)
    return found


def known(nation: LiveNation) -> KnownReach:
    """What the supervisor goes by while the registry is away."""
    return KnownReach(nation_directory(nation.layout), {})


def port_of(nation: LiveNation, path: str) -> int:
    return int(nation.told()["members"][path]["serves"].removeprefix("port "))


@needs_ports
@pytest.mark.parametrize("apart", sorted({Apart.LANDLOCK, kept_apart()}))
def test_member_listens_at_its_own_port_and_meets_the_broker_and_nothing_else(nation: LiveNation, apart: Apart) -> None:
    population, units, land = (port_of(nation, path) for path in (POPULATION, UNITS, LAND))
    reach = known(nation).of(POPULATION, None)
    (broker,) = reach.connect
    assert reach.bind == {population}
    enrolment = int(json.loads((nation.layout.state / "ports.json").read_bytes())["enrolment"])
    bound, met, made, sent = attempt(
        nation.home(POPULATION), [population, units, land, broker, 0], [broker, units, enrolment, 22], reach, apart
    )
    assert bound == ["EADDRINUSE", *["EACCES"] * 4]  # its own: it serves there, and the fence let it try
    assert met == ["done", *["EACCES"] * 3]
    assert made == [*["EPERM"] * 4, "done", "done"]
    assert sent == ["EPERM"] * 2


@needs_ports
def test_without_a_fence_the_same_tries_are_refused_by_nothing(nation: LiveNation) -> None:
    units = port_of(nation, UNITS)
    bound, met, made, sent = attempt(nation.home(POPULATION), [units, 0], [units], Reach(), Apart.NOTHING)
    assert (bound, met) == (["EADDRINUSE", "done"], ["done"])
    assert "EPERM" not in made
    assert sent == ["done"] * 2


@needs_ports
def test_client_that_serves_nothing_listens_nowhere(nation: LiveNation) -> None:
    reach = known(nation).of(PORTAL, None)
    assert reach.bind == frozenset()
    bound, _, _, _ = attempt(nation.home(PORTAL), [0, port_of(nation, UNITS)], [], reach, Apart.LANDLOCK)
    assert bound == ["EACCES", "EACCES"]


@needs_ports
def test_every_member_that_runs_makes_sockets_through_the_filter(nation: LiveNation) -> None:
    members = {path: pid for path, pid in nation.pids().items() if path != "postgres"}
    told = {path: Path(f"/proc/{pid}/status").read_text("ascii") for path, pid in members.items()}
    assert [path for path, text in told.items() if "\nSeccomp:\t2\n" not in text] == []


def test_members_file_does_not_widen_its_reach(nation: LiveNation) -> None:
    config = nation.home(POPULATION) / "config.yaml"
    before, found = config.read_bytes(), known(nation).of(POPULATION, None)
    try:
        config.write_bytes(before.replace(b"127.0.0.1:", b"127.0.0.1:1"))
        assert known(nation).of(POPULATION, None) == found
    finally:
        config.write_bytes(before)


def test_reach_that_nobody_knows_yet_is_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="registry"):
        KnownReach(tmp_path, {POPULATION: 7001}).of(POPULATION, None)
    (tmp_path / "reach.json").write_bytes(b"{")
    with pytest.raises(EngineError, match="delete it"):
        KnownReach(tmp_path, {POPULATION: 7001}).of(POPULATION, None)


@pytest.mark.parametrize("kept", [True, False])
def test_status_says_whether_ports_are_kept(nation: LiveNation, kept: bool) -> None:
    told = {"nation": nation.told() | {"ports_kept": kept}}
    facts = nation.layout.facts()
    assert facts is not None
    found = report(Found(nation.layout, facts, now_ms=0, pid=None, told=told))[0]
    assert found.facts["ports_kept"] is kept
    assert ("TCP port" in found.next) is not kept
