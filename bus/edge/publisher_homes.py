"""Where published snapshots go: the instance's own directory first, then every broker's and subsystem's home.

    <state>/snapshots/published.json    what was last begun: version, log position, the log's head there
                     /lock              held by the one publisher
                     /*.snapshot, endpoints.json        bus.edge.snapshot_files
    <state>/subsystems/<name>/snapshot.bin
    <state>/brokers/<name>/endpoints.json, snapshot.bin

A version is written down before the first file that bears it. So a crash leaves files of the last two versions, each
whole, and the next publisher never makes two different snapshots of one version. What is in a home is on the disk; the
files in snapshots/ are made anew by every publisher, so nobody waits for a disk there. A home that cannot be written
does not keep the others waiting; it is tried again. A home's file that is no longer what was delivered (damaged, lost,
an older copy put back) is delivered anew.
"""

import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bus.edge.snapshot_files import BROKER_SNAPSHOT, ENDPOINTS, read_header, snapshot_name
from native.codec import CodecError
from pki.files import ensure_private_directory, replace_unflushed, write_atomic

__all__ = ["Begun", "Homes", "PublisherError"]

_BEGUN = "published.json"

log = logging.getLogger(__name__)


_Stamp = tuple[int, int, int]


class PublisherError(Exception):
    """Nothing can be published until a person has looked; the last snapshots serve on. The text says what to do."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What was last published, or was about to be."""

    version: int
    log_position: int
    log_head: bytes


class Homes:
    """The directories of one instance, held by one publisher; `close` lets go."""

    def __init__(self, state: Path) -> None:
        """PublisherError if another process publishes for this instance."""
        self._state = state.absolute()
        self.snapshots = ensure_private_directory(self._state / "snapshots")
        self._delivered: dict[Path, tuple[int, _Stamp | None]] = {}
        self._versions: dict[str, int] = {}
        self._snapshot = self._endpoints = b""
        self._lock = os.open(self.snapshots / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise PublisherError(f"another process publishes from {self._state}; stop that one first") from None

    def close(self) -> None:
        """Let another publisher begin."""
        os.close(self._lock)

    def begun(self) -> Begun:
        """What was last begun; version 0 before the first. PublisherError if that cannot be read."""
        path = self.snapshots / _BEGUN
        try:
            found = json.loads(path.read_bytes())
            return Begun(int(found["version"]), int(found["log_position"]), bytes.fromhex(found["log_head"]))
        except FileNotFoundError:
            # What an instance published before it had a registry: its version binds, its position means nothing here.
            return Begun(self._published_version(), 0, b"")
        except (ValueError, KeyError, TypeError) as error:
            raise PublisherError(f"{path} is damaged; write the highest version ever served into it anew") from error

    def begin(self, begun: Begun) -> None:
        """Write down that this version is used, durably, before any file bears it."""
        content = {"version": begun.version, "log_position": begun.log_position, "log_head": begun.log_head.hex()}
        write_atomic(self.snapshots / _BEGUN, (json.dumps(content) + "\n").encode())

    def put_parts(self, version: int, snapshots: Iterable[tuple[str, bytes]]) -> int:
        """Replace the files of these subsystems; how many."""
        number = 0
        for scope, data in snapshots:
            name = snapshot_name(scope)
            replace_unflushed(self.snapshots / name, data)
            self._versions[name] = version
            number += 1
        return number

    def version_of(self, scope: str) -> int:
        """Of the file that this publisher made for a subsystem; 0 before the first."""
        return self._versions.get(snapshot_name(scope), 0)

    def put_broker(self, version: int, snapshot: bytes, endpoints: bytes) -> None:
        """Replace the files of the brokers; after those of all subsystems that the same change concerns."""
        replace_unflushed(self.snapshots / BROKER_SNAPSHOT, snapshot)
        self._versions[BROKER_SNAPSHOT] = version
        if endpoints != self._endpoints:
            replace_unflushed(self.snapshots / ENDPOINTS, endpoints)
            self._versions[ENDPOINTS] = version
        self._snapshot, self._endpoints = snapshot, endpoints

    def deliver(self) -> None:
        """Durably bring every home what it does not have yet; brokers last: what they admit, providers know already."""
        for home in self._directories("subsystems"):
            name = f"{home.name}.snapshot"
            self._bring(home / "snapshot.bin", name, (self.snapshots / name).read_bytes)
        for home in self._directories("brokers"):
            self._bring(home / ENDPOINTS, ENDPOINTS, lambda: self._endpoints)
            self._bring(home / "snapshot.bin", BROKER_SNAPSHOT, lambda: self._snapshot)

    def _bring(self, target: Path, name: str, content: Callable[[], bytes]) -> None:
        version = self._versions.get(name)
        if version is None or self._delivered.get(target) == (version, _stamp(target)):
            return
        try:
            write_atomic(target, content())
        except OSError as error:
            home = target.parent.name
            log.warning("policy version %d does not reach %s (%s); trying again", version, home, error.strerror)
            return
        self._delivered[target] = version, _stamp(target)

    def _directories(self, folder: str) -> list[Path]:
        parent = self._state / folder
        return sorted(one for one in parent.iterdir() if one.is_dir()) if parent.is_dir() else []

    def _published_version(self) -> int:
        path = self.snapshots / BROKER_SNAPSHOT
        try:
            return read_header(path).version if path.exists() else 0
        except CodecError as error:
            raise PublisherError(f"{path} is no snapshot of ours; move it away") from error


def _stamp(path: Path) -> _Stamp | None:
    """What a file looks like; None for one that is not to be seen. Another content has another stamp.

    The home is its subsystem's: a link there, even one to itself, is a file like any, and concerns nobody else.
    """
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
