"""`serve`: a provider's server. Stock servicers in, verified and signed calls out.

    server = serve(load_provider_config("population.yaml"),
                   [(add_PopulationServiceServicer_to_server, Population())])
    await server.run()          # until SIGTERM or SIGINT, then drains

Mutual TLS 1.3 on one port. grpc.health.v1.Health answers there too, unsigned and to brokers only: it is how a broker's
Envoy learns whether to send calls, it says nothing of anybody, and it changes to NOT_SERVING before draining begins.
"""

import asyncio
import signal
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2  # type: ignore[import-untyped]  # no stubs are locked for it

from bus.exchange import telemetry
from bus.exchange.answers import Answerer
from bus.exchange.config import ProviderConfig
from bus.exchange.dispatch import Dispatcher
from bus.exchange.guard import Guard
from bus.exchange.idempotency import IdempotencyStore, MemoryStore
from bus.exchange.keeper import Keeper, newest_key
from bus.exchange.link import MAX_METADATA, MAX_WIRE_MESSAGE
from bus.exchange.meanings import meaning
from bus.exchange.methods import Registration, collect_methods
from bus.exchange.refusal import RequestRefused
from bus.exchange.signing import BatchSigner, HeaderSigner
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.texts import declared_texts
from bus.exchange.tls import TlsWatch, verify_tls13_only
from bus.exchange.trust import SnapshotFile
from bus.exchange.watch import Watch

__all__ = ["Server", "serve"]

_Context = aio.ServicerContext[Any, Any]


def serve(
    config: ProviderConfig,
    servicers: Iterable[Registration],
    *,
    signer: HeaderSigner | None = None,
    store: IdempotencyStore | None = None,
) -> "Server":
    """A server over `servicers`, not started yet. `signer` stands in for the configured key file (a token, for one)."""
    return Server(
        config,
        servicers,
        signer or SigningKeyFile(config.identity.signing_key),
        MemoryStore() if store is None else store,
    )


class Server:
    """One provider's listening server; made and used on one event loop."""

    def __init__(
        self, config: ProviderConfig, servicers: Iterable[Registration], signer: HeaderSigner, store: IdempotencyStore
    ) -> None:
        verify_tls13_only()
        identity = config.identity
        self._config = config
        self._methods = collect_methods(servicers)
        self._tls = TlsWatch(identity.tls)
        self._snapshot = SnapshotFile.of(identity)
        self._snapshot.load()
        self._signer = BatchSigner(newest_key(signer), on_batch=telemetry.record_batch)
        self._dispatcher = Dispatcher(
            Guard(identity.spiffe_id, self._snapshot, accept_operator_grants=config.accept_operator_grants),
            Answerer(identity.spiffe_id, self._signer),
            store,
            max_concurrent=config.max_concurrent,
        )
        self._health = health.aio.HealthServicer()
        self._keeper = Keeper(identity, signer, self._snapshot, self._signer)
        self._watch = Watch(self._keeper.look)
        self._server: aio.Server | None = None
        self.port = 0

    @property
    def mean_batch_size(self) -> float:
        """Answers per signature so far."""
        return self._signer.mean_batch_size

    async def start(self) -> int:
        """Listen; returns the port, also kept in `port`."""
        self._dispatcher.texts = declared_texts()
        server = aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((_Handlers(self._dispatcher, self._health, self._methods),))
        self.port = server.add_secure_port(self._config.listen, self._tls.server_credentials())
        await self.set_serving(True)
        await server.start()
        self._server = server
        self._watch.start()
        return self.port

    async def set_serving(self, serving: bool) -> None:
        """What health says from now on: whether that which lies behind the servicers is there. Draining outlasts it."""
        statuses = health_pb2.HealthCheckResponse
        for service in {"", *(path.split("/")[1] for path in self._methods)}:
            await self._health.set(service, statuses.SERVING if serving else statuses.NOT_SERVING)

    async def stop(self, grace_s: float | None = None) -> None:
        """Drain: health says NOT_SERVING, new calls are told DRAINING, running ones have `grace_s` (the configured)."""
        server, self._server = self._server, None
        if server is None:
            return
        grace_s = self._config.drain_ms / 1000 if grace_s is None else grace_s
        await self._health.enter_graceful_shutdown()
        self._dispatcher.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._dispatcher.idle()
        await server.stop(0.1)
        self._watch.stop()
        await asyncio.to_thread(self._keeper.stop)
        self._signer.close()

    async def run(self) -> None:
        """Start, serve until SIGTERM or SIGINT, drain."""
        if self._server is None:
            await self.start()
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        try:
            await told.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            await self.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


class _Handlers(grpc.GenericRpcHandler):
    """Every path: the registered methods, health, and a refusal for the rest."""

    def __init__(self, dispatcher: Dispatcher, servicer: health.aio.HealthServicer, methods: dict[str, Any]) -> None:
        self._known = {path: dispatcher.handler(method) for path, method in methods.items()}
        self._known |= _health_handlers(dispatcher, servicer)
        self._unknown: Any = grpc.unary_unary_rpc_method_handler(dispatcher.refuse_unknown)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """gRPC asks for each call."""
        return self._known.get(handler_call_details.method, self._unknown)


def _health_handlers(dispatcher: Dispatcher, servicer: health.aio.HealthServicer) -> dict[str, Any]:
    async def verify_broker(context: _Context) -> None:
        try:
            await dispatcher.verify_peer(context)
        except RequestRefused as error:
            found = meaning(error.reason)
            await context.abort(found.code, found.text)

    async def check(request: health_pb2.HealthCheckRequest, context: _Context) -> Any:
        await verify_broker(context)
        return await servicer.Check(request, context)

    async def watch(request: health_pb2.HealthCheckRequest, context: _Context) -> None:
        await verify_broker(context)
        await servicer.Watch(request, context)

    parse, serialize = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
    return {
        f"/{health.SERVICE_NAME}/Check": grpc.unary_unary_rpc_method_handler(check, parse, serialize),
        f"/{health.SERVICE_NAME}/Watch": grpc.unary_stream_rpc_method_handler(watch, parse, serialize),
    }


_OPTIONS: list[tuple[str, int]] = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_WIRE_MESSAGE),
    ("grpc.max_send_message_length", MAX_WIRE_MESSAGE),
    ("grpc.max_metadata_size", MAX_METADATA),
    ("grpc.absolute_max_metadata_size", MAX_METADATA),
    # Only identity: compression on the bus is refused (protocol.md 2).
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # Brokers ask whether this end lives; that is no abuse.
    ("grpc.http2.min_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
    # Who connects and says nothing must not take the descriptors of the process: 1,024 are usual.
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_allowed_incoming_connections", 768),
]
