"""What a fenced program tries on files that are not its own, by name, by a link that it planted, by a device: with
Landlock alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from bus.nation.behind import Apart, environment, fenced, openable
from bus.nation.fence import landlock_version

pytestmark = pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    secret = tmp_path / "secret"
    secret.write_text("another's")
    return secret


def run(home: Path, code: str, *arguments: str) -> str:
    """What a fenced program says."""
    command = fenced(home, [sys.executable, "-I", "-S", "-c", code, *arguments], apart=Apart.LANDLOCK)
    return subprocess.run(
        command, env=environment(home), capture_output=True, text=True, check=False, timeout=60
    ).stdout


def test_links_planted_in_its_home_open_nothing_at_its_next_start(home: Path, secret: Path) -> None:
    for word in set(fenced(home, [], apart=Apart.LANDLOCK)):
        name = Path(word)
        if not name.is_absolute() and len(name.parts) == 1:
            (home / name).symlink_to("/")
    assert openable(home, [secret], apart=Apart.LANDLOCK) == {str(secret): "EACCES"}


@pytest.mark.skipif(
    landlock_version() < 3, reason="this kernel's Landlock lets everybody truncate by name (before 6.2)"
)
def test_file_of_another_is_not_emptied(home: Path, secret: Path) -> None:
    code = (
        "import os, sys; os.truncate('own', 0); print('own', flush=True); os.truncate(sys.argv[1], 0); print('other')"
    )
    (home / "own").write_text("own")
    assert run(home, code, str(secret)) == "own\n"
    assert secret.read_text() == "another's"


def test_disks_shared_memory_and_the_host_secrets_are_out_of_reach(home: Path) -> None:
    disks = [path for path in Path("/dev").iterdir() if path.is_block_device()]
    tried = [*disks, *map(Path, ("/dev/shm", "/etc/shadow", "/dev/null", "/etc/hosts"))]  # noqa: S108
    found = openable(home, tried, apart=Apart.LANDLOCK)
    opened = {path for path, said in found.items() if said == "opened"}
    assert opened == {"/dev/null", "/etc/hosts"}
