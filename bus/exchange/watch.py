"""Looks twice a second whether files were replaced: the snapshot and the TLS material, read off the event loop."""

import asyncio
from collections.abc import Callable
from typing import Final

__all__ = ["Watch"]

EVERY_S: Final = 0.5


class Watch:
    """Calls each refresher again and again while it runs; a refresher keeps what it has when the new is no good."""

    def __init__(self, *refreshers: Callable[[], bool]) -> None:
        self._refreshers = refreshers
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin on the running loop, once."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            for refresh in self._refreshers:
                await asyncio.to_thread(refresh)
