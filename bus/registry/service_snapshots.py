"""What is published, for whoever asks through the bus: each its own snapshot, in parts, as soon as there is one.

The files are the publisher's (bus.edge.publisher_homes), read as they lie; nothing here knows what they say. Whoever
waits is woken when one of them was replaced. A file is opened once for a part, so that a part is of one version.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from bus.edge.snapshot_files import BROKER_SNAPSHOT, ENDPOINTS, peek_header, read_header, snapshot_name
from native.snapshot import BROKER_SCOPE

__all__ = ["Known", "Part", "Published"]

PART_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 4096
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Known:
    """What the asking subsystem has."""

    version: int = 0
    trust_sha256: bytes = b""
    endpoints_sha256: bytes = b""


@dataclass(frozen=True, slots=True)
class Part:
    """What it lacks; empty where it lacks nothing."""

    version: int = 0
    total_size: int = 0
    offset: int = 0
    data: bytes = b""
    trust: bytes = b""
    endpoints: bytes = b""

    @property
    def news(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.data or self.trust or self.endpoints)


class Published:
    """The files of one instance; used on one event loop."""

    def __init__(self, snapshots: Path, trust: Path) -> None:
        """`trust`: the trust bundle, PEM, as the registry itself has it."""
        self._snapshots, self._trust = snapshots, trust
        self._stamp = self._look()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ended = False

    async def newer(self, scope: str, known: Known, seconds: float) -> Part:
        """The first part of what is newer than `known`, waited for; OSError or CodecError if nothing is published."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
            self._watch = loop.create_task(self._follow())
        end = loop.time() + seconds
        while True:
            changed = self._changed
            found = await asyncio.to_thread(self._newer, scope, known)
            left = end - loop.time()
            if found.news or left <= 0 or self._ended:
                return found
            try:
                async with asyncio.timeout(left):
                    await changed.wait()
            except TimeoutError:
                return found

    async def as_of(self, scope: str, version: int, renew: Callable[[str], None], seconds: float) -> None:
        """Until the part was made at this version or later, asked of `renew` if it was not; at most so long.

        More than the brokers' newest version counts as that one: so a part is made anew once for each of those.
        """
        found, newest = await asyncio.to_thread(self._versions, scope)
        wanted = min(version, newest)
        if found >= wanted:
            return
        renew(scope)
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while found < wanted and loop.time() < end and not self._ended:
            await asyncio.sleep(_LOOK_SECONDS)
            found, _ = await asyncio.to_thread(self._versions, scope)

    async def part(self, scope: str, version: int, offset: int) -> Part:
        """A later part; the first one of another version where that one is not there any more."""
        return await asyncio.to_thread(self._part, scope, version, offset)

    def end(self) -> None:
        """Let nobody wait any more: what serves is being stopped. From any thread."""
        self._ended = True
        if self._loop is not None:
            with suppress(RuntimeError):  # that loop has ended
                self._loop.call_soon_threadsafe(self._wake)

    async def _follow(self) -> None:
        while not self._ended:
            await asyncio.sleep(_LOOK_SECONDS)
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _look(self) -> tuple[tuple[int, int], ...]:
        """The broker's snapshot and the endpoints are written last, whoever else has a new one."""
        stamps = []
        for path in (self._snapshots / BROKER_SNAPSHOT, self._snapshots / ENDPOINTS, self._trust):
            try:
                found = path.stat()
            except FileNotFoundError:
                stamps.append((0, 0))
            else:
                stamps.append((found.st_mtime_ns, found.st_ino))
        return tuple(stamps)

    def _versions(self, scope: str) -> tuple[int, int]:
        """Of a part, and of the brokers' newest."""
        part, whole = (read_header(self._snapshots / name) for name in (snapshot_name(scope), BROKER_SNAPSHOT))
        return part.version, whole.version

    def _newer(self, scope: str, known: Known) -> Part:
        first = self._part(scope, 0, 0)
        trust = self._trust.read_bytes()
        endpoints = (self._snapshots / ENDPOINTS).read_bytes() if scope == BROKER_SCOPE else b""
        has = first.version <= known.version
        return Part(
            version=first.version,
            total_size=0 if has else first.total_size,
            data=b"" if has else first.data,
            trust=b"" if sha256(trust).digest() == known.trust_sha256 else trust,
            endpoints=b"" if sha256(endpoints).digest() == known.endpoints_sha256 else endpoints,
        )

    def _part(self, scope: str, version: int, offset: int) -> Part:
        with (self._snapshots / snapshot_name(scope)).open("rb") as file:
            found = peek_header(file.read(_HEAD_BYTES)).version
            size = file.seek(0, 2)
            start = offset if found == version and offset < size else 0
            file.seek(start)
            return Part(version=found, total_size=size, offset=start, data=file.read(PART_BYTES))
