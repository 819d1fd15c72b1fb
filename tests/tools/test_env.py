"""tools/env on machines that lack something: one line that says what to do, and nothing half made.

Each run has a folder of its own with a name that is not ASCII, and a PATH of links to what is there: no apt-get, no
network, nothing that is installed.
"""

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.live import wait_until

TOP = Path(__file__).resolve().parents[2]
TOOLS = (
    *("bash", "cat", "cp", "dirname", "env", "find", "flock", "grep", "head", "id", "ls", "mkdir", "nm", "rm", "sed"),
    *("sha256sum", "sleep", "sort", "tail", "touch", "tr", "xargs"),
)
BASE = Path(sys.base_prefix) / "bin" / "python3"
PYTHON = f"""#!/bin/sh
case "$*" in
"-m venv "*) mkdir -p "$3/bin" "$3/lib/python3.11/site-packages" && cp "$0" "$3/bin/python" ;;
"-m pip "*) . "$HOME/pip" ;;
*) exec "{BASE}" "$@" ;;
esac
"""
OLD = '#!/bin/sh\ncase "$*" in *version.split*) echo 3.9.2;; *) exit 1;; esac\n'


class Machine:
    """A clone, and the programs that this machine has."""

    def __init__(self, folder: Path) -> None:
        self.home, self.clone, self.programs = folder, folder / "bản sao của tôi", folder / "bin"
        self.programs.mkdir()
        for name in TOOLS:
            if (place := shutil.which(name)) is not None:
                (self.programs / name).symlink_to(place)
        (self.clone / "tools").mkdir(parents=True)
        for name in ("tools/env", "requirements.lock", "setup.py", "pyproject.toml"):
            shutil.copy(TOP / name, self.clone / name)

    def has(self, name: str, script: str) -> None:
        """A program of that name."""
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def builds(self, pip: str) -> None:
        """With a compiler, headers and a Python whose environments are made at once and whose pip is `pip`."""
        self.has("gcc", "#!/bin/sh\nexit 0\n")
        self.has("python3", PYTHON)
        (self.home / "pip").write_text(pip.replace("$HOME/clone", str(self.clone)))

    def marks(self) -> set[str]:
        """What .venv says of itself."""
        kept = {".no-bench-packages", ".pip.log"}
        return {one.name for one in (self.clone / ".venv").glob(".*")} - kept

    def start(
        self, environment: dict[str, str] | None = None, stderr: int = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        """The run, without this process's settings for pip and Python."""
        kept = {"HOME": str(self.home), "LC_ALL": "C", "PATH": str(self.programs)}
        command = [self.clone / "tools" / "env"]
        return subprocess.Popen(
            command, env=kept | (environment or {}), stderr=stderr, text=True, start_new_session=True
        )

    def refused(self, **environment: str) -> str:
        """What it says; never a shell's own complaint, never success."""
        with self.start(environment) as run:
            said = run.communicate(timeout=120)[1]
        assert run.returncode == 1, said
        assert "command not found" not in said
        assert said.splitlines()[-1].startswith("govbus: ")
        return said


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_ancient_python_is_named_and_a_newer_one_under_its_own_name_is_taken(machine: Machine) -> None:
    machine.has("python3", OLD)
    machine.has("gcc", "#!/bin/sh\nexit 0\n")
    said = machine.refused()
    assert "python3 is 3.9.2; govbus needs Python 3.11 or newer" in said
    assert "python3-venv" in said
    (machine.programs / "python3.11").symlink_to(BASE)
    machine.has("gcc", "#!/bin/sh\nexit 1\n")
    assert "needs Python" not in machine.refused()
    assert "python3 is 3.9.2" in machine.refused(PYTHON="python3")
    assert not (machine.clone / ".venv").exists()


@pytest.mark.parametrize(("gcc", "wanted"), [(None, "gcc libc6-dev"), ("exit 1", "libssl-dev")], ids=["gcc", "headers"])
def test_no_compiler_and_no_headers_are_said_by_their_packages(machine: Machine, gcc: str | None, wanted: str) -> None:
    (machine.programs / "python3").symlink_to(BASE)
    if gcc is not None:
        machine.has("gcc", f"#!/bin/sh\n{gcc}\n")
    said = machine.refused()
    assert f"please install and run again: {wanted}" in said
    assert "python3" not in said
    assert not (machine.clone / ".venv").exists()


def test_no_python_at_all_is_said(machine: Machine) -> None:
    assert "python3 is not here" in machine.refused()


@pytest.mark.parametrize("path", ["", "/nowhere"])
def test_an_empty_path_finds_the_systems_own_folders(machine: Machine, path: str) -> None:
    named = machine.clone.with_name("a$b")
    machine.clone.rename(named)
    machine.clone = named
    assert "please rename it" in machine.refused(PATH=path)


def test_without_an_index_nothing_is_half_made_and_what_is_there_stays(machine: Machine) -> None:
    machine.builds(pip="echo no index >&2; exit 1")
    assert "pip needs its package index" in machine.refused()
    assert machine.marks() == {".place"}
    assert "making .venv" not in machine.refused()


def test_an_index_out_of_reach_is_one_line_with_the_reason(machine: Machine) -> None:
    retry = "WARNING: Retrying (Retry(%s)) connection broken by 'NewConnectionError('<c>: no name for it')': /simple/a/"
    pip = "".join(f'echo "{retry % left}" >&2\n' for left in range(5)) + "echo ERROR: nothing matches >&2; exit 1"
    machine.builds(pip)
    *steps, last = machine.refused().splitlines()
    assert all(line.startswith("govbus: step ") for line in steps)
    assert "the package index cannot be reached" in last
    assert last.endswith("(no name for it)")


def test_a_terminal_is_told_how_many_of_how_many_in_one_line(machine: Machine) -> None:
    machine.builds(pip="echo Collecting one==1; echo Collecting two==2; exit 1")
    total = (TOP / "requirements.lock").read_text("utf-8").count("==")
    terminal, other_end = pty.openpty()
    with machine.start(stderr=other_end) as run:
        os.close(other_end)
        said = b""
        try:
            while some := os.read(terminal, 4096):
                said += some
        except OSError:  # how a terminal ends
            os.close(terminal)
        assert run.wait(timeout=60) == 1
    shown = [line for line in said.decode().splitlines() if f"installing {total} locked" in line]
    assert f", 2 of {total}: two" in shown[-1]
    assert f"govbus: step 2 of 3, installing {total} locked dependencies, " in shown[0]


def test_half_an_installation_is_removed(machine: Machine) -> None:
    machine.builds(pip='touch "$HOME/clone/.venv/lib/python3.11/site-packages/half"; exit 1')
    assert "pip needs its package index" in machine.refused()
    assert not (machine.clone / ".venv").exists()


def test_ctrl_c_leaves_the_mark_by_which_the_next_run_makes_all_anew(machine: Machine) -> None:
    # A shell's child in the background is deaf to SIGINT, as Cython is for minutes.
    machine.builds(pip='sleep 300 & echo $! >"$HOME/deaf"; touch "$HOME/asked"; exec sleep 60')
    with machine.start() as run:
        for _ in range(600):
            if (machine.home / "asked").exists():
                break
            time.sleep(0.1)
        os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=60)[1]
    assert (run.returncode, machine.marks()) == (130, {".place", ".installing"})
    assert "interrupted; run it again" in said
    wait_until(lambda: not Path("/proc", (machine.home / "deaf").read_text().strip()).exists())
    machine.builds(pip="exit 1")
    assert "making .venv" in machine.refused()
    assert machine.marks() == {".place"}


def test_a_folder_that_was_moved_is_made_anew(machine: Machine) -> None:
    machine.builds(pip="exit 1")
    machine.refused()
    machine.clone = machine.clone.rename(machine.home / "moved")
    assert "making .venv" in machine.refused()
    assert "making .venv" not in machine.refused()
    (machine.home / "another way").symlink_to(machine.clone)
    machine.clone = machine.home / "another way"
    assert "making .venv" not in machine.refused()


def test_a_second_run_waits_for_the_first(machine: Machine) -> None:
    machine.builds(pip='touch "$HOME/asked"; while [ ! -e "$HOME/go" ]; do sleep 0.1; done; exit 1')
    with machine.start() as first:
        for _ in range(600):
            if (machine.home / "asked").exists():
                break
            time.sleep(0.1)
        with machine.start() as second:
            assert second.stderr is not None
            assert "waiting for another run" in second.stderr.readline()
            (machine.home / "go").touch()
            second.communicate(timeout=60)
        first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (1, 1)
