"""Waiting that ends on time, whatever lies at the other end.

psycopg ends a statement in order when the task that waits for it is cancelled: it asks the server to, and listens for
the answer, up to ten seconds if the machine behind the connection is frozen or gone. A call cannot wait for that. So
the work has a task of its own, which is left to end by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

__all__ = ["Patience", "end_task"]

LAST_S: Final = 1.0
AGAIN_S: Final = 0.1

_T = TypeVar("_T")


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel until it has ended: before Python 3.12, asyncio.wait_for (psycopg's, too) drops a cancellation that comes
    in the moment in which what it waits for is there."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=AGAIN_S)
    if not task.cancelled():
        task.result()  # what it failed of


class Patience:
    """Keeps hold of what was left, until it has ended."""

    def __init__(self) -> None:
        self._left: set[asyncio.Task[Any]] = set()

    async def within(self, seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
        """What `work` returns; TimeoutError after `seconds`. It is cancelled then, and when the caller is."""
        task = self.leave(work)
        try:
            done, _ = await asyncio.wait({task}, timeout=max(0.0, seconds))
        finally:
            task.cancel()
        if not done:
            raise TimeoutError
        return task.result()

    def leave(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Let it run, and end when it ends."""
        task = asyncio.create_task(work)
        self._left.add(task)
        task.add_done_callback(self._forget)
        return task

    async def end(self) -> None:
        """Give what was left a moment to end."""
        if self._left:
            await asyncio.wait(self._left, timeout=LAST_S)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # heard by whoever waited; of what was left, nobody asks
