"""The proxy's server: every method is taken, its bytes go to the bus unread, its verified answer comes back.

    server = ProxyServer(channel, "bus.gov.example")
    await server.start("unix:/run/user/1000/govbus.sock")         # or an address, with a token

1. Nothing of the tool's metadata travels: what it says (`said`) becomes fields of the signed header.
2. Unary or stream is what the policy says of the method, since a generic server is not told.
3. An error's code, text and details are those of the bus or of the verified provider; `govbus-reason` names the bus's
   reason, `govbus-request-id` the call to name when asking about it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from bus.exchange import CallError, CallEvidence  # isort: skip - before gRPC

import grpc
from grpc import aio
from opentelemetry.context import attach, detach
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bus.exchange.channel import ChannelView
from bus.exchange.compose import MAX_MESSAGE
from bus.exchange.meanings import encode_refusal
from bus.proxy.said import NotSaid, options_said, verify_token
from native.codec import decode_request_header

__all__ = ["ProxyServer"]

_Context = grpc.aio.ServicerContext[bytes, bytes]
_TRACEPARENT: Final = "traceparent"
_OWN: Final = "/grpc."
"""gRPC's own services (health, reflection and its versions) are no members': what is not served here is UNIMPLEMENTED,
on which tools go on to the next version."""
_DETAILS: Final = "grpc-status-details-bin"
_propagator = TraceContextTextMapPropagator()


class ProxyServer:
    """Serves from `start` to `stop`."""

    def __init__(
        self,
        channel: ChannelView,
        trust_domain: str,
        *,
        token: str | None = None,
        make_case: Callable[[], str] | None = None,
        extra: Sequence[Callable[[aio.Server], None]] = (),
    ) -> None:
        """`token`: asked for with every call; None where the address itself admits only its owner. `make_case`: the
        case of a call that says none. `extra`: adds services of the proxy's own, reflection for one."""
        guard = None if token is None else _TokenGuard(token)
        self._server = aio.server(
            interceptors=() if guard is None else (guard,),
            options=(
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", MAX_MESSAGE),
                ("grpc.so_reuseport", 0),  # nobody else may listen at this port beside us
            ),
        )
        for add in extra:
            add(self._server)
        self._server.add_generic_rpc_handlers((_Forward(channel, trust_domain, make_case),))

    async def start(self, address: str) -> int:
        """Listen at a gRPC address (`unix:PATH`, `host:port`); the port, 1 for a socket file."""
        port = self._server.add_insecure_port(address)
        await self._server.start()
        return port

    async def stop(self, grace: float | None = None) -> None:
        """End; running calls have `grace` seconds."""
        await self._server.stop(grace)


class _TokenGuard(aio.ServerInterceptor):
    """Every method, reflection included, is for those who know the token."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        try:
            verify_token(handler_call_details.invocation_metadata, self._token)
        except NotSaid as error:
            text = str(error)

            async def refuse(_: object, context: _Context) -> NoReturn:
                await context.abort(grpc.StatusCode.UNAUTHENTICATED, text)

            return grpc.stream_unary_rpc_method_handler(refuse)
        return await continuation(handler_call_details)


class _Forward(grpc.GenericRpcHandler):
    """A handler for every path there is."""

    def __init__(self, channel: ChannelView, trust_domain: str, make_case: Callable[[], str] | None) -> None:
        self._channel, self._trust_domain, self._make_case = channel, trust_domain, make_case

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        if path.startswith(_OWN):
            return None

        async def unary(body: bytes, context: _Context) -> bytes:
            evidence: list[CallEvidence] = []
            async with self._passing(context) as view:
                call = view.using(on_evidence=evidence.append).unary_unary(path)
                answer: bytes = await call(body, timeout=context.time_remaining())
            context.set_trailing_metadata(_named(decode_request_header(evidence[-1].request_header).request_id.hex()))
            return answer

        async def stream(body: bytes, context: _Context) -> AsyncIterator[bytes]:
            async with self._passing(context) as view:
                async for message in view.unary_stream(path)(body, timeout=context.time_remaining()):
                    yield message

        if self._channel.answers_with_stream(path):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    @asynccontextmanager
    async def _passing(self, context: _Context) -> AsyncIterator[ChannelView]:
        """The channel as the tool wants it; what goes wrong inside ends the tool's call in the same way."""
        pairs = context.invocation_metadata() or ()
        try:
            said = options_said(pairs, self._trust_domain)
        except NotSaid as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise
        if self._make_case is not None:
            said.setdefault("case_id", self._make_case())
        trace = attach(_propagator.extract({key: value for key, value in pairs if key == _TRACEPARENT}))
        try:
            yield self._channel.using(**said)
        except CallError as error:
            context.set_trailing_metadata(_told(error))
            await context.abort(error.code(), error.details())
        finally:
            detach(trace)


def _named(request_id: str) -> tuple[tuple[str, str], ...]:
    return (("govbus-request-id", request_id),) if request_id else ()


def _told(error: CallError) -> tuple[tuple[str, str | bytes], ...]:
    details = error.status_details()
    if not details and error.reason is not None:
        details = encode_refusal(error.reason, error.metadata)
    reason = (("govbus-reason", str(error.reason)),) if error.reason is not None else ()
    carried = ((_DETAILS, details),) if details else ()
    return (*carried, *reason, *_named(error.request_id))
