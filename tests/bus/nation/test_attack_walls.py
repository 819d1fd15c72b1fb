"""What a member tries that Landlock does not refuse: to meet others' sockets, to change modes and times of files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from bus.nation.behind import Apart, environment, fenced, kept_apart
from bus.nation.members import POPULATION, PORTAL, UNITS
from bus.nation.places import CONFIG, portal_socket
from tests.bus.nation.conftest import LiveNation
from tests.support.joined import wait_until

needs_mounts = pytest.mark.skipif(
    kept_apart() is not Apart.MOUNTS, reason="nobody gets mounts of his own here, and `govbus status` says so"
)
# Says what each of its words came to: sockets to meet, files to change.
TRY = """
import errno, json, os, socket, sys
sockets, files = json.loads(sys.argv[1])
def told(act, *said):
    try:
        act(*said)
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
def meet(path):  # by its folder's descriptor: an address has 107 bytes, whatever the folder
    folder, name = os.path.split(path)
    at = os.open(folder, os.O_PATH)
    socket.socket(socket.AF_UNIX).connect(f"/proc/self/fd/{at}/{name}")
met = {path: told(meet, path) for path in sockets}
acts = {"chmod": lambda p: os.chmod(p, 0o600), "utime": os.utime, "setxattr": lambda p: os.setxattr(p, "user.x", b"")}
print(json.dumps([met, {f"{name} {path}": told(act, path) for path in files for name, act in acts.items()}]))
"""


def attempt(home: Path, sockets: list[str], files: list[Path], apart: Apart, own: Path) -> tuple[dict[str, str], ...]:
    command = [sys.executable, "-I", "-S", "-c", TRY, json.dumps([sockets, [str(path) for path in files]])]
    ran = subprocess.run(
        fenced(home, command, apart=apart, sockets=(own,)),
        env=environment(home),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return tuple(json.loads(ran.stdout))


def listening(nation: LiveNation) -> list[str]:
    """Every socket file of the instance, run directories included."""
    state = nation.layout.state
    places = [str(state), *(note.read_text("utf-8") for note in state.rglob("run-directory"))]
    return sorted({str(path) for place in places for path in Path(place).rglob("*") if path.is_socket()})


@needs_mounts
def test_member_meets_no_socket_but_its_database_and_changes_nothing_of_others(nation: LiveNation) -> None:
    home = nation.home(POPULATION)
    own = Path(str(conninfo_to_dict((home / "database").read_text("utf-8").strip())["host"]))
    sockets = listening(nation)
    assert {"admin", "control", "portal.sock"} <= {Path(path).name for path in sockets}
    others = [nation.home(UNITS) / "signing-key.pem", nation.layout.policy_signing_key, Path("/etc/hosts")]
    met, changed = attempt(home, sockets, others, Apart.MOUNTS, own)
    assert {path for path, said in met.items() if said == "done"} == {str(own / ".s.PGSQL.5432")}
    assert {said for path, said in met.items() if Path(path).parent != own} == {"ENOENT"}
    assert set(changed.values()) <= {"ENOENT", "EROFS"}
    met, changed = attempt(home, sockets, others[:1], Apart.LANDLOCK, own)
    assert {met[str(portal_socket(nation.layout))], changed[f"chmod {others[0]}"]} == {"done"}  # the same tries, told


@needs_mounts
def test_members_live_with_mounts_of_their_own_and_leave_none(nation: LiveNation) -> None:
    here = os.readlink("/proc/self/ns/mnt")
    members = {path: pid for path, pid in nation.pids().items() if path != "postgres"}
    spaces = {os.readlink(f"/proc/{pid}/ns/mnt") for pid in members.values()}
    assert here not in spaces
    assert len(spaces) == len(members)
    assert str(nation.layout.state) not in Path("/proc/self/mountinfo").read_text("utf-8")


@needs_mounts
def test_home_below_a_link_is_the_home_and_all_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "other").touch()
    (tmp_path / "link").symlink_to("home")
    code = "import os, sys; open(sys.argv[1], 'x'); open('/dev/null', 'w'); print(os.path.exists('../other'))"
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "link" / "written")]
    ran = subprocess.run(fenced(tmp_path / "link", command, apart=Apart.MOUNTS), capture_output=True, check=True)
    assert (tmp_path / "home" / "written").exists()
    assert ran.stdout == b"False\n"


def test_member_serves_where_it_gets_no_mounts_of_its_own(nation: LiveNation) -> None:
    home = nation.home(PORTAL)
    program = [sys.executable, "-I", "-B", "-m", "adapters.portal", "--config", str(home / CONFIG)]
    command = fenced(home, [*program, "--socket", str(home / "second.sock")], apart=Apart.LANDLOCK)
    log = home / "second.log"
    with log.open("wb") as file:
        second = subprocess.Popen(command, env=environment(home), stdout=file, stderr=file)
    try:
        wait_until(lambda: b"serving on socket" in log.read_bytes(), "the second portal")
    finally:
        second.terminate()
        assert second.wait(60) == 0, log.read_bytes()
