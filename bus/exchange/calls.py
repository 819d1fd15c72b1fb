"""What a stub's method returns: awaitable for one answer, iterable for many, as stock grpc.aio code expects.

A unary answer exists only verified. Stream messages are provisional until the stream ended with trailers that verify
(protocol.md 7): `sealed` says whether it did, and a stream that ends otherwise raises StreamNotSealed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Generator
from typing import Generic, TypeVar

import grpc
from grpc import aio
from opentelemetry.trace import Span

from bus.exchange import telemetry
from bus.exchange.compose import MAX_MESSAGE, add_frame, answer_of
from bus.exchange.errors import CallError, ProviderError
from bus.exchange.outcome import refused_locally
from bus.exchange.reasons import Reason
from bus.exchange.runtime import ClientRuntime, Prepared, Signed
from native.digest import FrameHasher

__all__ = ["StreamCall", "UnaryCall"]

_Answer = TypeVar("_Answer")


class _Ended:
    """How a call ended, as stock clients ask for it; each answer waits for the end."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared

    async def _error(self) -> CallError | None:
        raise NotImplementedError

    async def code(self) -> grpc.StatusCode:
        """The gRPC code."""
        error = await self._error()
        return error.code() if error else grpc.StatusCode.OK

    async def details(self) -> str:
        """The fixed text of an error; empty when there is none."""
        error = await self._error()
        return error.details() if error else ""

    async def initial_metadata(self) -> aio.Metadata:
        """Nothing of the metadata is for the caller: what matters in it was verified."""
        return aio.Metadata()

    async def trailing_metadata(self) -> aio.Metadata:
        """As initial_metadata."""
        return aio.Metadata()

    def time_remaining(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._prepared.remaining_s())


class UnaryCall(_Ended, Generic[_Answer]):
    """One call in flight. Await it for the verified answer."""

    def __init__(
        self, runtime: ClientRuntime, prepared: Prepared, span: Span, deserialize: Callable[[bytes], _Answer]
    ) -> None:
        super().__init__(prepared)
        self._deserialize = deserialize
        self._task = asyncio.get_running_loop().create_task(self._run(runtime, prepared, span))

    def __await__(self) -> Generator[object, None, _Answer]:
        return self._task.__await__()

    async def wait_for_connection(self) -> None:
        """Returns when the call has its answer: connections are this runtime's business."""
        await asyncio.wait((self._task,))

    def cancel(self) -> bool:
        """Give up; the provider may have acted."""
        return self._task.cancel()

    def cancelled(self) -> bool:
        """Whether it was given up."""
        return self._task.cancelled()

    def done(self) -> bool:
        """Whether it ended."""
        return self._task.done()

    def add_done_callback(self, callback: Callable[["UnaryCall[_Answer]"], None]) -> None:
        """Have `callback` told of the end."""
        self._task.add_done_callback(lambda _: callback(self))

    async def _error(self) -> CallError | None:
        await asyncio.wait((self._task,))
        error = None if self._task.cancelled() else self._task.exception()
        return error if isinstance(error, CallError) else None

    async def _run(self, runtime: ClientRuntime, prepared: Prepared, span: Span) -> _Answer:
        began, code = time.monotonic(), grpc.StatusCode.CANCELLED
        try:
            answer = self._deserialize(await runtime.unary(prepared, span))
            code = grpc.StatusCode.OK
        except CallError as error:
            code = error.code()
            tell(span, error)
            raise
        finally:
            span.end()
            telemetry.record_call("client", prepared.method, code.name, time.monotonic() - began)
        return answer


class StreamCall(_Ended, Generic[_Answer]):
    """One server stream. Iterate it, or `read()` until `grpc.aio.EOF`; do one of the two."""

    def __init__(
        self, runtime: ClientRuntime, prepared: Prepared, span: Span, deserialize: Callable[[bytes], _Answer]
    ) -> None:
        super().__init__(prepared)
        self._runtime = runtime
        self._span = span
        self._deserialize = deserialize
        self._kept: list[bytes] = []
        self._ended = asyncio.Event()
        self._failure: CallError | None = None
        self._inner: aio.UnaryStreamCall[bytes, bytes] | None = None
        self._messages = self._run()
        self.sealed = False

    def __aiter__(self) -> AsyncIterator[_Answer]:
        return self._messages

    async def read(self) -> object:
        """The next message, or grpc.aio.EOF after a sealed end."""
        try:
            return await anext(self._messages)
        except StopAsyncIteration:
            return aio.EOF

    def cancel(self) -> bool:
        """Give up; what came is provisional for ever."""
        if self._ended.is_set():
            return False
        return self._inner.cancel() if self._inner is not None else False

    def cancelled(self) -> bool:
        """Whether it was given up."""
        return self._inner is not None and self._inner.cancelled()

    def done(self) -> bool:
        """Whether it ended."""
        return self._ended.is_set()

    async def _error(self) -> CallError | None:
        await self._ended.wait()
        return self._failure

    async def _run(self) -> AsyncIterator[_Answer]:
        began, code = time.monotonic(), grpc.StatusCode.CANCELLED
        try:
            async for message in self._verified():
                yield self._deserialize(message)
            code = grpc.StatusCode.OK
        except CallError as error:
            self._failure = error
            code = error.code()
            tell(self._span, error)
            raise
        finally:
            self._ended.set()
            self._span.end()
            telemetry.record_call("client", self._prepared.method, code.name, time.monotonic() - began)

    async def _verified(self) -> AsyncIterator[bytes]:
        runtime, prepared = self._runtime, self._prepared
        signed = await runtime.sign(prepared, self._span, next(runtime.turn))
        hasher = FrameHasher(MAX_MESSAGE)
        self._inner = signed.link.stream(prepared.method)(
            prepared.message, timeout=max(prepared.remaining_s(), 0.0), metadata=signed.pairs
        )
        keep = prepared.options.on_evidence is not None
        try:
            async for message in self._inner:
                add_frame(hasher, message)
                if keep:
                    self._kept.append(message)
                yield message
            trailers = await self._inner.trailing_metadata()
        except aio.AioRpcError as error:
            raise self._unsealed(runtime.failed(signed, error, hasher, prepared.options), hasher.messages) from None
        self._seal(signed, hasher, trailers)

    def _seal(self, signed: Signed, hasher: FrameHasher, trailers: aio.Metadata) -> None:
        released = hasher.messages
        answer = answer_of(hasher, 0, b"", b"")
        try:
            found = self._runtime.verify(signed, answer, trailers)
        except CallError as error:
            raise self._unsealed(error, max(released, 1)) from error
        self.sealed = True
        on_evidence = self._prepared.options.on_evidence
        if on_evidence:
            on_evidence(self._runtime.evidence(signed, answer, found, tuple(self._kept)))

    def _unsealed(self, error: CallError, released: int) -> CallError:
        """A provider's verified error is a seal too; anything else after a message leaves it unsealed."""
        if isinstance(error, ProviderError):
            self.sealed = True
            return error
        if released == 0:
            return error
        unsealed = refused_locally(Reason.STREAM_NOT_SEALED)
        unsealed.__cause__ = error
        return unsealed


def tell(span: Span, error: CallError) -> None:
    """Put the refusal on the span and into the counters."""
    telemetry.refuse_span(span, error.reason, error.code().name)
    telemetry.count_refusal(error.reason, "client")
