"""The channel for code without an event loop: the same channel, running on a loop in a thread of its own.

Every call is handed to that loop and waited for; context variables of the calling thread (call_context, the current
span) go with it. Calls made from several threads at once are signed together there.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from bus.exchange.channel import Channel, ChannelView
from bus.exchange.evidence import CallEvidence

__all__ = ["BlockingChannel", "BlockingView"]

_T = TypeVar("_T")


class _Loop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="govbus-channel", daemon=True)
        self._thread.start()

    def run(self, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """Run `work` there with this thread's context variables, and wait."""
        context = contextvars.copy_context()
        done: Future[_T] = Future()

        def begin() -> None:
            task = context.run(self._loop.create_task, work())
            task.add_done_callback(lambda ended: _hand_over(ended, done))

        self._loop.call_soon_threadsafe(begin)
        return done.result()

    def stop(self) -> None:
        """End the loop and its thread."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _hand_over(task: "asyncio.Task[_T]", done: "Future[_T]") -> None:
    if task.cancelled():
        done.cancel()
    elif error := task.exception():
        done.set_exception(error)
    else:
        done.set_result(task.result())


class BlockingView(grpc.Channel):
    """A channel whose calls all say the same things; stock stubs accept it."""

    def __init__(self, loop: _Loop, view: ChannelView) -> None:
        self._loop = loop
        self._view = view

    def using(
        self,
        *,
        purpose: str | None = None,
        case_id: str | None = None,
        official: str | None = None,
        provider: str | None = None,
        grant_id: str | None = None,
        idempotency_key: str | None = None,
        on_evidence: Callable[[CallEvidence], None] | None = None,
    ) -> "BlockingView":
        """As ChannelView.using; `on_evidence` is called in the channel's thread."""
        view = self._view.using(
            purpose=purpose,
            case_id=case_id,
            official=official,
            provider=provider,
            grant_id=grant_id,
            idempotency_key=idempotency_key,
            on_evidence=on_evidence,
        )
        return BlockingView(self._loop, view)

    @property
    def mean_batch_size(self) -> float:
        """Requests per signature so far."""
        return self._view.mean_batch_size

    def unary_unary(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """What a stub calls for a method with one request and one answer."""
        inner = self._view.unary_unary(method, *arguments, **keywords)

        def call(request: Any, timeout: float | None = None, **options: Any) -> Any:
            async def work() -> Any:
                return await inner(request, timeout=timeout, **options)

            return self._loop.run(work)

        return call

    def unary_stream(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """What a stub calls for a method with one request and a stream of answers."""
        inner = self._view.unary_stream(method, *arguments, **keywords)

        def call(request: Any, timeout: float | None = None, **options: Any) -> Iterator[Any]:
            async def begin() -> Any:
                return inner(request, timeout=timeout, **options)

            stream = self._loop.run(begin)
            end = object()

            async def following() -> Any:
                return await anext(aiter(stream), end)

            while (message := self._loop.run(following)) is not end:
                yield message

        return call

    def stream_unary(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """The bus refuses what streams from the client."""
        return self._view.stream_unary(method)

    def stream_stream(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        """As stream_unary."""
        return self._view.stream_stream(method)

    def subscribe(self, callback: Callable[[Any], None], try_to_connect: bool | None = False) -> None:
        """Not offered: brokers are this runtime's business."""
        raise NotImplementedError("ask for a call instead: its exception says whether a broker was reached")

    def unsubscribe(self, callback: Callable[[Any], None]) -> None:
        """As subscribe."""

    def close(self) -> None:
        """End the connections and the thread."""
        self._loop.run(self._view.close)
        self._loop.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BlockingChannel(BlockingView):
    """A client's connection to the bus for any number of threads."""

    def __init__(self, make: Callable[[], Channel]) -> None:
        loop = _Loop()

        async def made() -> Channel:
            return make()

        try:
            channel = loop.run(made)
        except BaseException:
            loop.stop()
            raise
        super().__init__(loop, channel)
