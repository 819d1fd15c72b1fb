"""One call at the provider, from bytes to signed answer.

    guard -> idempotency -> parse and rules -> the stock servicer -> rules again -> signature -> trailers

1. Whatever ends the call ends it with a signed answer once the request's header is known; a stranger's call, and one
   without a header, is refused unsigned.
2. A servicer's exception becomes PROVIDER_INTERNAL. Neither its text nor its values leave the process or reach the log:
   they may be personal data. The log has its type and where it was raised.
3. A servicer that answers what its own contract forbids has failed (2).
"""

import asyncio
import inspect
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc import aio

from bus.exchange import metadata, telemetry
from bus.exchange.answers import GOOD, Answerer, Ending, details_pairs, ending_of_refusal
from bus.exchange.compose import MAX_MESSAGE, add_frame, frames_of
from bus.exchange.context import IncomingCall, begin_serving, end_serving
from bus.exchange.guard import Accepted, Guard
from bus.exchange.idempotency import IdempotencyStore, Scope
from bus.exchange.methods import ServedMethod
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from bus.exchange.servicer_context import CallAborted, ServedContext
from bus.exchange.texts import answered_text
from bus.exchange.tls import certificate_digest
from bus.exchange.validation import parse_message, verify_rules
from native.digest import REQUEST_TYPE, FrameHasher, header_digest

__all__ = ["Dispatcher"]

log = logging.getLogger(__name__)

_Context = aio.ServicerContext[bytes, bytes]
_Pairs = tuple[tuple[str, str | bytes], ...]
_Send = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class _Load:
    """Calls in work, and whether more are taken."""

    limit: int
    running: int = 0
    draining: bool = False
    emptied: asyncio.Event = field(default_factory=asyncio.Event)

    def leave(self) -> None:
        self.running -= 1
        if self.running == 0:
            self.emptied.set()


class Dispatcher:
    """Serves the methods of one provider."""

    def __init__(self, guard: Guard, answerer: Answerer, store: IdempotencyStore, *, max_concurrent: int) -> None:
        self._guard = guard
        self._answerer = answerer
        self._store = store
        self._load = _Load(max_concurrent)
        self.texts: frozenset[str] = frozenset()
        self._unheard: set[asyncio.Task[Ending]] = set()

    async def idle(self) -> None:
        """Returns when no call is in work."""
        while self._load.running:
            self._load.emptied.clear()
            await self._load.emptied.wait()

    def drain(self) -> None:
        """Take no more calls; those in work go on."""
        self._load.draining = True

    async def verify_peer(self, context: _Context) -> str:
        """The broker at the other end; RequestRefused(PEER_NOT_BROKER) for anybody else."""
        return (await self._guard.verify_peer(_peer_digest(context), _now_ms())).broker

    def handler(self, method: ServedMethod) -> Any:
        """What gRPC calls: bytes in, bytes out."""
        if method.client_stream:
            return grpc.stream_stream_rpc_method_handler(self._refuse_stream)
        if method.server_stream:

            async def stream(body: bytes, context: _Context) -> None:
                await self._serve(method, body, context, context.write)

            return grpc.unary_stream_rpc_method_handler(stream)

        async def unary(body: bytes, context: _Context) -> bytes:
            answers: list[bytes] = []

            async def keep(message: bytes) -> None:
                answers.append(message)

            await self._serve(method, body, context, keep)
            return answers[0]

        return grpc.unary_unary_rpc_method_handler(unary)

    async def refuse_unknown(self, body: bytes, context: _Context) -> bytes:
        """A method that nobody registered here: NO_GRANT, as for one without a grant (protocol.md 5)."""
        await self._refuse(context, Reason.NO_GRANT)
        return b""

    async def _refuse_stream(self, requests: AsyncIterator[bytes], context: _Context) -> None:
        await self._refuse(context, Reason.STREAM_NOT_SUPPORTED)

    async def _refuse(self, context: _Context, reason: Reason) -> None:
        """Refuse without a look at the request; unsigned to strangers."""
        digest = None
        try:
            await self.verify_peer(context)
            digest = _digest_in(_pairs_of(context))
        except RequestRefused as error:
            reason = error.reason
        await self._end(context, digest, FrameHasher(MAX_MESSAGE), ending_of_refusal(reason))

    async def _serve(self, method: ServedMethod, body: bytes, context: _Context, send: _Send) -> None:
        pairs = _pairs_of(context)
        span = telemetry.server_span(method.path, self._answerer.provider, telemetry.traceparent_in(pairs))
        served = _Served(FrameHasher(MAX_MESSAGE), send)
        began, code = time.monotonic(), grpc.StatusCode.CANCELLED
        self._load.running += 1
        try:
            within = telemetry.enter(span)
            try:
                ending, digest = await self._judge(method, body, context, pairs, served)
            finally:
                telemetry.leave(within)
            if ending.code is not grpc.StatusCode.OK:
                telemetry.refuse_span(span, ending.reason, ending.code.name)
                telemetry.count_refusal(ending.reason, "provider")
            await self._end(context, digest, served.frames, ending)
            code = ending.code
        finally:
            self._load.leave()
            span.end()
            telemetry.record_call("provider", method.path, code.name, time.monotonic() - began)

    async def _judge(
        self,
        method: ServedMethod,
        body: bytes,
        context: _Context,
        pairs: _Pairs,
        served: "_Served",
    ) -> tuple[Ending, bytes | None]:
        """How the call ends, and the digest of the request that the answer is bound to."""
        digest: bytes | None = None
        try:
            peer = await self._guard.verify_peer(_peer_digest(context), _now_ms())
            digest = _digest_in(pairs)
            if self._load.draining:
                raise RequestRefused(Reason.DRAINING)
            if self._load.running > self._load.limit:
                raise RequestRefused(Reason.OVERLOADED)
            accepted = await self._guard.verify_call(peer, method.path, pairs, _now_ms(), time.monotonic())
            frames_digest = frames_of(body).finish()
            self._guard.verify_body(accepted, frames_digest)
            call = _incoming(accepted, context)
            telemetry.name_request(call.request_id)
            again = accepted.permit.method.idempotent
            ending = await self._once(method, body, frames_digest, call, served, again=again)
        except RequestRefused as error:
            ending = ending_of_refusal(error.reason, error.metadata)
        except Exception as error:  # noqa: BLE001 - rule 2 holds for this runtime's own faults, too
            _log_failure(method.path, error)
            ending = ending_of_refusal(Reason.PROVIDER_INTERNAL)
        return ending, digest

    async def _once(
        self,
        method: ServedMethod,
        body: bytes,
        frames_digest: bytes,
        call: IncomingCall,
        served: "_Served",
        *,
        again: bool,
    ) -> Ending:
        """Serve the call, or answer what was stored for its idempotency key. Streams are not stored."""
        if not call.idempotency_key or method.server_stream:
            return await self._run(method, body, call, served)
        scope = Scope(call.client, call.provider, call.method, call.idempotency_key)
        try:
            stored = await self._store.begin(scope, frames_digest, time.monotonic(), repeatable=again)
        except RequestRefused as error:
            if error.reason is not Reason.OVERLOADED or not again:
                raise
            # Its contract says that calling twice has the effect of calling once: a full store stops no such call.
            return await self._run(method, body, call, served)
        if stored is not None:
            await served.send(stored)
            return GOOD
        work = self._kept(scope, self._run(method, body, call, served), served)
        return await (work if again else self._to_its_end(work))

    async def _kept(self, scope: Scope, work: Awaitable[Ending], served: "_Served") -> Ending:
        """Serve the call, and store what it answers."""
        kept = False
        try:
            ending = await work
            if ending.code is grpc.StatusCode.OK and served.last is not None:
                await self._store.finish(scope, served.last)
                kept = True
            return ending
        finally:
            if not kept:
                await self._store.abandon(scope)

    async def _to_its_end(self, work: Coroutine[Any, Any, Ending]) -> Ending:
        """Serve on when nobody waits any more: a scope forgotten half way would let its effect happen twice."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._load.running += 1
            self._unheard.add(task)
            task.add_done_callback(self._end_unheard)
            raise

    def _end_unheard(self, task: "asyncio.Task[Ending]") -> None:
        self._unheard.discard(task)
        self._load.leave()

    async def _run(self, method: ServedMethod, body: bytes, call: IncomingCall, served: "_Served") -> Ending:
        """Parse, check, call the servicer, check what it answers."""

        async def write(message: Any) -> None:
            await served.send(_checked_answer(method, message))

        shown = ServedContext(call, write if method.server_stream else None)
        try:
            request = parse_message(body, method.parse)
            verify_rules(request)
            token = begin_serving(call)
            try:
                await _call_servicer(method, request, shown, write)
            finally:
                end_serving(token)
        except CallAborted:
            pass
        except RequestRefused:
            raise
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _being_cancelled():
                raise
            _log_failure(method.path, error)
            return ending_of_refusal(Reason.PROVIDER_INTERNAL)
        finally:
            shown.end()
        code = shown.code()
        if code is grpc.StatusCode.OK:
            return GOOD if method.server_stream or served.last is not None else _no_answer(method.path)
        return Ending(code, answered_text(code, shown.details(), self.texts), shown.status_details)

    async def _end(self, context: _Context, digest: bytes | None, frames: FrameHasher, ending: Ending) -> None:
        """Put the trailers in place; raises gRPC's own exception to end a call with an error."""
        trailers = details_pairs(ending)
        if digest is not None:
            try:
                trailers = await self._answerer.sign(digest, frames, ending)
            except Exception as error:  # noqa: BLE001 - a signer that fails must not put its text on the wire
                _log_failure("signing an answer", error)
                ending = ending_of_refusal(Reason.PROVIDER_INTERNAL)
                trailers = details_pairs(ending)
        if ending.code is grpc.StatusCode.OK:
            context.set_trailing_metadata(trailers)
        else:
            await context.abort(ending.code, ending.text, trailers)


@dataclass(slots=True)
class _Served:
    """The messages of one answer on their way out."""

    frames: FrameHasher
    out: _Send
    last: bytes | None = None

    async def send(self, message: bytes) -> None:
        """Send, and let the commitment see, one message."""
        add_frame(self.frames, message)
        self.last = message
        await self.out(message)


async def _call_servicer(
    method: ServedMethod, request: object, context: ServedContext, write: Callable[[Any], Awaitable[None]]
) -> None:
    if method.server_stream:
        found = method.function(request, context)
        if hasattr(found, "__aiter__"):
            async for message in found:
                await write(message)
        else:
            await found
        return
    if method.coroutine:
        answer = await method.function(request, context)
    else:
        # A plain function must not hold the loop; it keeps its context variables (govbus_call) in the thread.
        answer = await asyncio.to_thread(method.function, request, context)
        if inspect.isawaitable(answer):
            answer = await answer
    if context.code() is grpc.StatusCode.OK:
        await write(answer)


def _checked_answer(method: ServedMethod, message: Any) -> bytes:
    try:
        verify_rules(message)
    except RequestRefused as error:
        raise ValueError("the answer breaks a rule of its contract") from error
    encoded = method.serialize(message)
    if len(encoded) > MAX_MESSAGE:
        raise RequestRefused(Reason.RESPONSE_TOO_LARGE)
    return encoded


def _incoming(accepted: Accepted, context: _Context) -> IncomingCall:
    header, admission = accepted.permit.request.header, accepted.admission
    left = context.time_remaining()
    # Without a deadline of the transport's, the request's own end counts.
    left = max(0.0, header.not_after_ms / 1000 - time.time()) if left is None else left
    return IncomingCall(
        request_id=header.request_id,
        client=header.client,
        provider=header.provider,
        broker=header.broker,
        method=header.method,
        purpose=header.purpose,
        case_id=header.case_id,
        official=header.official,
        grant_id=header.grant_id,
        idempotency_key=header.idempotency_key,
        sequence=admission.sequence,
        intent_time_ms=admission.intent_time_ms,
        snapshot_version=admission.snapshot_version,
        deadline=time.monotonic() + left,
    )


def _pairs_of(context: _Context) -> _Pairs:
    """What came as metadata; gRPC makes it anew each time it is asked."""
    return tuple(context.invocation_metadata() or ())


def _digest_in(pairs: _Pairs) -> bytes | None:
    """The digest that an answer is bound to: of the one request header that came, judged or not."""
    found = [value for key, value in pairs if key == metadata.REQUEST]
    if len(found) != 1 or not isinstance(found[0], bytes) or len(found[0]) > metadata.LIMITS[metadata.REQUEST]:
        return None
    return header_digest(REQUEST_TYPE, found[0])


def _peer_digest(context: _Context) -> bytes | None:
    pem = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    return certificate_digest(pem) if pem else None


def _being_cancelled() -> bool:
    """Whether this task itself is being cancelled, rather than something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _no_answer(path: str) -> Ending:
    log.error("%s returned without an answer or a code", path)
    return ending_of_refusal(Reason.PROVIDER_INTERNAL)


def _log_failure(path: str, error: BaseException) -> None:
    where = "".join(traceback.format_list(traceback.extract_tb(error.__traceback__)[-8:]))
    log.error("%s failed with %s at\n%s", path, type(error).__name__, where)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
