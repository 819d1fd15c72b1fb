"""A small real world for tests of the engine: an authority, a broker, a provider that echoes over gRPC."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

from bus.edge.endpoint import Endpoint
from bus.edge.settings import EdgeSettings, TlsFiles, Upstream
from bus.engines.envoy import Envoy
from pki.authority import Authority
from pki.credentials import Credentials, issue_credentials
from pki.identity import SubsystemId

TRUST_DOMAIN = "bus.test.example"
BROKER = SubsystemId(TRUST_DOMAIN, "gov", "ndc", "broker-1")
PROVIDER = SubsystemId(TRUST_DOMAIN, "gov", "mps", "population")
OTHER = SubsystemId(TRUST_DOMAIN, "gov", "moj", "civil-status")
METHOD = "/test.v1.Echo/Say"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class World:
    """Authority and credentials under one directory."""

    directory: Path
    authority: Authority

    @classmethod
    def create(cls, directory: Path) -> "World":
        return cls(directory, Authority.open(directory / "authority-state", TRUST_DOMAIN, now=datetime.now(UTC)))

    def credentials(self, subsystem: SubsystemId) -> Credentials:
        return issue_credentials(self.authority, subsystem, self.home(subsystem), now=datetime.now(UTC))

    def home(self, subsystem: SubsystemId) -> Path:
        return self.directory / subsystem.subsystem

    def edge(
        self, name: str, *upstreams: Upstream, listen: Endpoint | None = None, collector: Endpoint | None = None
    ) -> "Edge":
        if not self.home(BROKER).exists():
            self.credentials(BROKER)
        listen = listen or Endpoint("127.0.0.1", free_port())
        return Edge(self, self.directory / name, listen, upstreams, collector)


class Edge:
    """A bare Envoy (no gate): it routes by the header that the gate would set."""

    def __init__(
        self,
        world: World,
        state: Path,
        listen: Endpoint,
        upstreams: tuple[Upstream, ...],
        collector: Endpoint | None = None,
    ) -> None:
        home = world.home(BROKER)
        self.listen = listen
        self.state = state
        self.upstreams = upstreams
        state.mkdir(mode=0o700, exist_ok=True)
        self._settings = EdgeSettings(
            broker=BROKER.spiffe_id,
            listen=listen,
            admin_socket=Path(),
            directory=state / "envoy",
            tls=TlsFiles(home, home / "tls" / "chain.pem", home / "tls" / "key.pem", home / "trust.pem"),
            upstreams=(),
            gate=None,
            trace_collector=collector,
            drain_seconds=3,
        )
        self.envoy = Envoy(state, self.settings, gate=None, concurrency=1)

    def settings(self, admin: Path) -> EdgeSettings:
        return replace(self._settings, admin_socket=admin, upstreams=self.upstreams)

    def __enter__(self) -> "Edge":
        self.envoy.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.envoy.stop()


@dataclass
class Echo:
    """A provider: answers with what it got, after `delay` seconds, and remembers the metadata."""

    endpoint: Endpoint
    delay: float = 0.0
    metadata: dict[str, str | bytes] | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
        self.metadata = dict(context.invocation_metadata() or ())
        self.arrived.set()
        if self.delay:
            await asyncio.sleep(self.delay)
        return request


@contextlib.asynccontextmanager
async def echo_provider(credentials: Credentials) -> AsyncIterator[Echo]:
    """A mutual-TLS gRPC server under the given identity."""
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", 8 << 20)])
    secure = grpc.ssl_server_credentials(
        [(credentials.tls_key_pem, credentials.tls_chain_pem)], credentials.trust.pem, require_client_auth=True
    )
    echo = Echo(Endpoint("127.0.0.1", server.add_secure_port("127.0.0.1:0", secure)))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(echo.say)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.v1.Echo", {"Say": handler}),))
    await server.start()
    try:
        yield echo
    finally:
        await server.stop(0)


@contextlib.asynccontextmanager
async def channel_to(edge: Edge, credentials: Credentials) -> AsyncIterator[grpc.aio.Channel]:
    """A mutual-TLS channel that expects the broker's own name."""
    secure = grpc.ssl_channel_credentials(credentials.trust.pem, credentials.tls_key_pem, credentials.tls_chain_pem)
    options = [("grpc.ssl_target_name_override", BROKER.dns_name), ("grpc.enable_retries", 0)]
    async with grpc.aio.secure_channel(str(edge.listen), secure, options) as channel:
        yield channel


def say(channel: grpc.aio.Channel) -> "grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]":
    """The one method, in raw bytes."""
    return channel.unary_unary(METHOD)


async def call(
    channel: grpc.aio.Channel,
    body: bytes = b"hello",
    *,
    cluster: str = PROVIDER.dns_name,
    seconds: float = 5.0,
    traceparent: str | None = None,
) -> bytes:
    """One unary call with the routing header that the gate would set."""
    trace = (("traceparent", traceparent),) if traceparent else ()
    answer: bytes = await say(channel)(body, timeout=seconds, metadata=(("govbus-cluster", cluster), *trace))
    return answer


@contextlib.asynccontextmanager
async def trace_collector() -> AsyncIterator[tuple[Endpoint, asyncio.Queue[ExportTraceServiceRequest]]]:
    """An OTLP receiver in this process: where it listens, and what it received."""
    received: asyncio.Queue[ExportTraceServiceRequest] = asyncio.Queue()

    class Collector(TraceServiceServicer):
        async def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
            received.put_nowait(request)
            return ExportTraceServiceResponse()

    server = grpc.aio.server()
    add_TraceServiceServicer_to_server(Collector(), server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield Endpoint("127.0.0.1", port), received
    finally:
        await server.stop(0)
