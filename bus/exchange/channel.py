"""The channel that stock generated stubs accept in place of a grpc.aio.Channel.

    channel = connect(load_client_config("civil-status.yaml"))
    stub = PopulationServiceStub(channel.using(purpose="civil.birth", case_id="2026-0001"))
    person = await stub.GetPerson(request)

A stub serializes through the functions that it was generated with; everything after is this runtime's. What a stock
call may pass and the bus does not carry (metadata, call credentials, compression) is refused, never dropped in
silence.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

import grpc
from grpc import aio

from bus.exchange import telemetry
from bus.exchange.calls import StreamCall, UnaryCall, tell
from bus.exchange.config import ClientConfig
from bus.exchange.context import CallOptions, current_options
from bus.exchange.errors import CallError
from bus.exchange.evidence import CallEvidence
from bus.exchange.outcome import refused_locally
from bus.exchange.reasons import Reason
from bus.exchange.runtime import ClientRuntime
from bus.exchange.signing import HeaderSigner

__all__ = ["Channel", "ChannelView"]

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")
_Call = TypeVar("_Call")

# A base of grpc.aio.Channel: generated stubs are typed for it, and isinstance in stock code holds.
_Base = aio.Channel


class ChannelView(_Base):
    """A channel whose calls all say the same things. Stubs accept it."""

    def __init__(self, runtime: ClientRuntime, options: CallOptions) -> None:
        self._runtime = runtime
        self._options = options

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
        untraced: bool | None = None,
    ) -> "ChannelView":
        """This channel, with these said for every call through what is returned; None leaves a thing as it is.

        An idempotency key is for one effect: make a view for each. `on_evidence` is told everything of each attempt
        that was answered, errors included. `untraced` calls are in no trace, at the broker and the provider either.
        """
        said = CallOptions(purpose, case_id, official, provider, grant_id, idempotency_key, on_evidence, untraced)
        return ChannelView(self._runtime, said.over(self._options))

    def answers_with_stream(self, method: str) -> bool:
        """Whether the policy in force says so of `method`, a path; False for one that it does not name."""
        record = self._runtime.snapshot.current.method(method)
        return record is not None and record.server_stream

    @property
    def mean_batch_size(self) -> float:
        """Requests per signature so far."""
        return self._runtime.signer.mean_batch_size

    @property
    def signatures_made(self) -> int:
        """Signatures made so far."""
        return self._runtime.signer.batches

    def unary_unary(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """What a stub calls for a method with one request and one answer."""
        return _Unary(self._runtime, self._options, method, request_serializer, response_deserializer)

    def unary_stream(
        self,
        method: str,
        request_serializer: Callable[[Any], bytes] | None = None,
        response_deserializer: Callable[[bytes], Any] | None = None,
        _registered_method: bool | None = False,
    ) -> Any:
        """What a stub calls for a method with one request and a stream of answers."""
        return _Stream(self._runtime, self._options, method, request_serializer, response_deserializer)

    def stream_unary(self, method: str, *_: object, **__: object) -> Any:
        """The bus refuses what streams from the client (protocol.md 7)."""
        return _refuse_stream

    def stream_stream(self, method: str, *_: object, **__: object) -> Any:
        """As stream_unary."""
        return _refuse_stream

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """READY when any broker is."""
        states = [link.state(try_to_connect) for link in self._runtime.links]
        ready = grpc.ChannelConnectivity.READY
        return ready if ready in states else states[0]

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Returns when get_state answers something else."""
        while self.get_state() is last_observed_state:
            await self._runtime.links[0].ready(0.05)

    async def channel_ready(self) -> None:
        """Returns when a broker can be reached."""
        while not any([await link.ready(0.5) for link in self._runtime.links]):
            await self._runtime.pause()

    async def close(self, grace: float | None = None) -> None:
        """End the connections of this channel and all its views."""
        await self._runtime.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class Channel(ChannelView):
    """A client's connection to the bus; used on one event loop."""

    def __init__(self, config: ClientConfig, signer: HeaderSigner) -> None:
        super().__init__(ClientRuntime(config, signer), CallOptions())


class _Method(Generic[_Request, _Answer]):
    """One method of a stub."""

    def __init__(
        self,
        runtime: ClientRuntime,
        options: CallOptions,
        method: str,
        serialize: Callable[[_Request], bytes] | None,
        deserialize: Callable[[bytes], _Answer] | None,
    ) -> None:
        self._runtime = runtime
        self._options = options
        self._method = method
        self._serialize: Callable[[Any], bytes] = serialize or bytes
        self._deserialize: Callable[[bytes], Any] = deserialize or bytes

    def _begin(
        self,
        request: _Request,
        timeout: float | None,
        unsupported: tuple[object, ...],
        make: Callable[..., _Call],
    ) -> _Call:
        if any(unsupported):
            raise ValueError(
                "the bus carries no metadata, call credentials or compression of its callers:"
                " say purpose, case and official with channel.using(...)"
            )
        options = self._options.over(current_options())
        made = telemetry.untraced_span if options.untraced else telemetry.client_span
        span = made(self._method, options.provider or "")
        try:
            prepared = self._runtime.prepare(self._method, self._serialize(request), options, timeout)
        except CallError as error:
            tell(span, error)
            span.end()
            raise
        span.set_attribute("govbus.provider", prepared.provider)
        return make(self._runtime, prepared, span, self._deserialize)


class _Unary(_Method[_Request, _Answer]):
    def __call__(
        self,
        request: _Request,
        *,
        timeout: float | None = None,
        metadata: object = None,
        credentials: object = None,
        wait_for_ready: bool | None = None,
        compression: object = None,
    ) -> UnaryCall[_Answer]:
        return self._begin(request, timeout, (metadata, credentials, compression), UnaryCall[_Answer])


class _Stream(_Method[_Request, _Answer]):
    def __call__(
        self,
        request: _Request,
        *,
        timeout: float | None = None,
        metadata: object = None,
        credentials: object = None,
        wait_for_ready: bool | None = None,
        compression: object = None,
    ) -> StreamCall[_Answer]:
        return self._begin(request, timeout, (metadata, credentials, compression), StreamCall[_Answer])


def _refuse_stream(*_: object, **__: object) -> NoReturn:
    raise refused_locally(Reason.STREAM_NOT_SUPPORTED)
