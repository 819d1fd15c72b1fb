"""The image built and run for real: confined as deploy/README.md says, healthy, stopped in order, and started again.

It needs a docker or podman that answers, and its base image: the default of the container file, or the one that
GOVBUS_CONTAINER_BASE names. A container sees its own loopback only; the build installs from the package index.
"""

import os
import re
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.soak

TOP = Path(__file__).resolve().parents[2]
CONTAINERFILE = TOP / "deploy" / "container" / "Containerfile"
NATION = ("up", "--foreground", "--trust-domain", "bus.test.example", "--nation", "--people", "500")


def confinement() -> list[str]:
    """What the README's own `podman run` takes away."""
    text = (TOP / "deploy" / "README.md").read_text("utf-8").replace("\\\n", " ")
    (command,) = re.findall(r"\$ podman run (.*?) -v ", text)
    found = shlex.split(command)
    assert {"--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"} <= set(found)
    return found


class Engine:
    """docker or podman."""

    def __init__(self, program: str) -> None:
        self.program, self.name = program, f"govbus-test-{uuid.uuid4().hex[:12]}"

    def __call__(self, *arguments: str, cap: float = 120) -> "subprocess.CompletedProcess[str]":
        command = [self.program, *arguments]
        return subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False, timeout=cap)

    def done(self, *arguments: str, cap: float = 120) -> str:
        ended = self(*arguments, cap=cap)
        assert ended.returncode == 0, (arguments, ended.stdout[-3000:], ended.stderr[-3000:])
        return ended.stdout.strip()

    def inside(self, *command: str) -> str:
        return self.done("exec", self.name, *command)

    def healthy(self) -> None:
        for _ in range(300):
            if self.done("inspect", "--format", "{{.State.Health.Status}}", self.name) == "healthy":
                return
            time.sleep(1)
        raise AssertionError(self.done("logs", self.name)[-3000:])


@pytest.fixture
def engine() -> Iterator[Engine]:
    found = [Engine(one) for one in ("docker", "podman") if shutil.which(one)]
    answering = [one for one in found if one("info").returncode == 0]
    if not answering:
        pytest.skip("neither docker nor podman answers here")
    one = answering[0]
    base = (
        os.environ.get("GOVBUS_CONTAINER_BASE") or CONTAINERFILE.read_text("utf-8").partition("ARG BASE=")[2].split()[0]
    )
    if one("image", "inspect", base).returncode != 0 and one("pull", base, cap=600).returncode != 0:
        pytest.skip(f"no image {base} and none can be fetched; GOVBUS_CONTAINER_BASE names another")
    kind = ["--format=docker"] if one.program == "podman" else []
    file = str(CONTAINERFILE.relative_to(TOP))
    try:
        one.done(
            "build", *kind, "--network=host", f"--build-arg=BASE={base}", "-f", file, "-t", one.name, ".", cap=1800
        )
        yield one
    finally:
        one("rm", "--force", "--volumes", one.name)
        one("volume", "rm", one.name)
        one("rmi", one.name)


def test_image_serves_a_nation_confined_and_is_stopped_in_order_and_started_again(engine: Engine) -> None:
    place = ("--network=none", "-v", f"{engine.name}:/var/lib/govbus")
    engine.done("run", "--detach", f"--name={engine.name}", *confinement(), *place, engine.name, *NATION)
    engine.healthy()
    status = engine.inside("cat", "/proc/1/status")
    for line in (r"Uid:\s+10001\s+10001", r"CapEff:\s+0+$", r"CapBnd:\s+0+$", r"NoNewPrivs:\s+1"):
        assert re.search(f"^{line}", status, re.MULTILINE), line
    assert engine("exec", engine.name, "touch", "/opt/govbus/mine").returncode != 0
    assert "registered" in engine.inside("govbus", "birth")
    engine.done("stop", "--time=120", engine.name, cap=180)
    assert engine.done("inspect", "--format", "{{.State.ExitCode}}", engine.name) == "0"
    engine.done("start", engine.name)
    engine.healthy()
    log = engine.inside("cat", "/var/lib/govbus/instance/postgres/postgres.log")
    assert "database system was shut down at" in log
    assert "was interrupted" not in log
    assert "registered" in engine.inside("govbus", "birth")
