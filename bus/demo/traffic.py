"""Calls that go on while something else happens: one client asks again and again, and what became of each is kept."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from vn.administrative.v1.administrative_pb2 import ResolveUnitRequest
from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceStub
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode

from bus.demo.forge import ANSWERED
from bus.exchange import CallError
from bus.exchange.channel import ChannelView

if TYPE_CHECKING:
    from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceAsyncStub

__all__ = ["Traffic", "question", "resolve"]

_TIMEOUT_S: Final = 8.0
_CAP_S: Final = 15.0


class Traffic:
    """Between `async with` and its end: one call at a time, a pause between two."""

    def __init__(self, ask: Callable[[], Awaitable[str]], *, pause_s: float) -> None:
        """`ask` makes a call and says how it ended: ANSWERED, or the reason."""
        self._ask, self._pause_s = ask, pause_s
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.counted: Counter[str] = Counter()
        self.last = ""
        """How the last call ended."""
        self.last_s = 0.0
        """When, by the monotonic clock."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def failed(self, before: Counter[str] | None = None) -> dict[str, int]:
        """Calls that were not answered, by reason; with `before`, an earlier copy of `counted`, those since then."""
        return {result: count for result, count in (self.counted - (before or Counter())).items() if result != ANSWERED}

    async def until(self, wanted: str) -> float:
        """Wait until a call ends so, 15 s at most; the time of the last call's end. See `last`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CAP_S):
                while self.last != wanted:
                    self._changed.clear()
                    await self._changed.wait()
        return self.last_s

    async def _run(self) -> None:
        while True:
            self.last = await self._ask()
            self.last_s = time.monotonic()
            self.counted[self.last] += 1
            self._changed.set()
            await asyncio.sleep(self._pause_s)


def question(code: str = "00001") -> ResolveUnitRequest:
    """Which ward is this today? Open data: no person is in it."""
    return ResolveUnitRequest(code=AdministrativeUnitCode(code_list_version="gso-2025-06", code=code))


async def resolve(channel: ChannelView) -> str:
    """Ask it: ANSWERED, or the reason."""
    stub: AdministrativeUnitServiceAsyncStub = AdministrativeUnitServiceStub(channel)
    try:
        await stub.ResolveUnit(question(), timeout=_TIMEOUT_S)
    except CallError as error:
        return str(error.reason)
    return ANSWERED
