"""The supervised Envoy and its hardened edge, with real certificates and sockets (engines.md, "Envoy")."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from bus.edge.endpoint import Endpoint
from bus.edge.settings import Upstream
from bus.engines.supervisor import EngineError
from bus.exchange.meanings import parse_refusal
from bus.exchange.reasons import Reason
from pki.credentials import Credentials
from tests.bus.engines.support import (
    BROKER,
    OTHER,
    PROVIDER,
    Edge,
    World,
    call,
    channel_to,
    echo_provider,
    free_port,
    say,
    trace_collector,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.create(tmp_path)


def upstream(*endpoints: Endpoint) -> Upstream:
    return Upstream(PROVIDER.dns_name, endpoints)


async def test_a_call_reaches_the_provider_that_the_header_names(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        with world.edge("a", upstream(echo.endpoint)) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                assert await call(channel) == b"hello"
                assert await call(channel, b"x" * (4 << 20)) == b"x" * (4 << 20)


async def test_nothing_of_envoy_or_the_address_travels_to_the_provider(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        with world.edge("a", upstream(echo.endpoint)) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                await call(channel)
    assert echo.metadata is not None
    assert not [
        f"{key}: {value!r}" for key, value in echo.metadata.items() if key.startswith(("x-", "govbus-", "forwarded"))
    ]


async def test_nothing_of_envoy_travels_to_the_client(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        with world.edge("a", upstream(echo.endpoint)) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                pending = say(channel)(b"", metadata=(("govbus-cluster", PROVIDER.dns_name),))
                await pending
                keys = [key for key, _ in (*await pending.initial_metadata(), *await pending.trailing_metadata())]
    assert not [key for key in keys if key.startswith("x-")]


async def test_a_provider_under_another_name_is_not_spoken_to(world: World) -> None:
    async with echo_provider(world.credentials(OTHER)) as echo:
        with world.edge("a", upstream(echo.endpoint)) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(channel)
    assert refused_for(caught.value) is Reason.PROVIDER_LOST
    assert "population" not in str(caught.value.details())
    assert echo.metadata is None


async def test_the_clients_deadline_ends_the_call_at_the_broker(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        echo.delay = 30
        with world.edge("a", upstream(echo.endpoint)) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(channel, seconds=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def refused_for(error: grpc.aio.AioRpcError) -> Reason | None:
    """The reason in the answer."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    assert isinstance(details, bytes)
    found = parse_refusal(details)
    return found[0] if found else None


async def test_a_dead_endpoint_is_passed_over(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        with world.edge("a", upstream(Endpoint("127.0.0.1", free_port()), echo.endpoint)) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                assert [await call(channel) for _ in range(10)] == [b"hello"] * 10


PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_without_a_collector_the_trace_passes_untouched(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        with world.edge("a", upstream(echo.endpoint)) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                await call(channel, traceparent=PARENT)
    assert echo.metadata is not None
    assert echo.metadata["traceparent"] == PARENT


async def test_with_a_collector_the_brokers_span_joins_the_trace(world: World) -> None:
    async with trace_collector() as (where, received), echo_provider(world.credentials(PROVIDER)) as echo:
        with world.edge("a", upstream(echo.endpoint), collector=where) as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                await call(channel, traceparent=PARENT)
            exported = await asyncio.wait_for(received.get(), 10)
    (span,) = exported.resource_spans[0].scope_spans[0].spans
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    assert echo.metadata is not None
    assert echo.metadata["traceparent"] == f"00-{span.trace_id.hex()}-{span.span_id.hex()}-01"
    assert not [key for key in echo.metadata if key.startswith("x-")]


@pytest.fixture
def idle_edge(world: World) -> Iterator[Edge]:
    with world.edge("a") as edge:
        yield edge


def client_context(credentials: Credentials, directory: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=credentials.trust.pem.decode())
    directory.mkdir()
    (directory / "chain.pem").write_bytes(credentials.tls_chain_pem)
    (directory / "key.pem").write_bytes(credentials.tls_key_pem)
    context.load_cert_chain(directory / "chain.pem", directory / "key.pem")
    context.set_alpn_protocols(["h2"])
    return context


def handshake(context: ssl.SSLContext, endpoint: Endpoint) -> str | None:
    """The agreed protocol, after the server had its chance to refuse."""
    with (
        socket.create_connection((endpoint.host, endpoint.port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=BROKER.dns_name) as secure,
    ):
        secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        if not secure.recv(9):
            raise ConnectionResetError("closed by the server")
        return secure.selected_alpn_protocol()


def test_a_client_with_its_certificate_is_let_in(world: World, idle_edge: Edge, tmp_path: Path) -> None:
    assert handshake(client_context(world.credentials(OTHER), tmp_path / "tls"), idle_edge.listen) == "h2"


def test_tls_1_2_is_refused(world: World, idle_edge: Edge, tmp_path: Path) -> None:
    context = client_context(world.credentials(OTHER), tmp_path / "tls")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(context, idle_edge.listen)


def test_a_client_without_certificate_is_refused(world: World, idle_edge: Edge) -> None:
    context = ssl.create_default_context(cadata=world.credentials(OTHER).trust.pem.decode())
    context.set_alpn_protocols(["h2"])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(context, idle_edge.listen)


def test_a_certificate_of_another_instance_is_refused(world: World, idle_edge: Edge, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir(mode=0o700)
    stranger = World.create(tmp_path / "stranger").credentials(OTHER)
    context = client_context(stranger, tmp_path / "tls")
    context.load_verify_locations(cadata=world.credentials(OTHER).trust.pem.decode())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(context, idle_edge.listen)


def test_plaintext_is_refused(idle_edge: Edge) -> None:
    with socket.create_connection((idle_edge.listen.host, idle_edge.listen.port), timeout=5) as raw:
        raw.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        assert raw.recv(1) in (b"", b"\x15")  # a TLS alert (RFC 8446 5.1), never an HTTP/2 frame


def test_a_killed_envoy_is_started_again(idle_edge: Edge) -> None:
    supervisor = idle_edge.envoy.supervisor
    first = supervisor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while supervisor.starts < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    supervisor.wait_ready()
    assert supervisor.pid != first


async def test_providers_are_added_without_closing_a_connection(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        with world.edge("a") as edge:
            async with channel_to(edge, world.credentials(OTHER)) as channel:
                with pytest.raises(grpc.aio.AioRpcError):
                    await call(channel)
                edge.upstreams = (upstream(echo.endpoint),)
                assert edge.envoy.apply() == ["clusters.json"]
                for _ in range(100):
                    await asyncio.sleep(0.02)
                    try:
                        answer = await call(channel)
                    except grpc.aio.AioRpcError:
                        continue
                    break
                assert answer == b"hello"
                stats = edge.envoy.admin.stats("http.edge.downstream_cx_total")
                assert stats == {"http.edge.downstream_cx_total": 1}


async def test_a_renewed_certificate_is_served_without_restart(world: World) -> None:
    with world.edge("a") as edge:
        first = _peer_certificate(world, edge)
        world.credentials(BROKER)
        for _ in range(100):
            await asyncio.sleep(0.02)
            if _peer_certificate(world, edge) != first:
                return
    pytest.fail("the old certificate is still served")


def _peer_certificate(world: World, edge: Edge) -> bytes | None:
    context = ssl.create_default_context(cadata=world.credentials(OTHER).trust.pem.decode())
    with (
        socket.create_connection((edge.listen.host, edge.listen.port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname=BROKER.dns_name) as secure,
    ):
        return secure.getpeercert(binary_form=True)


async def test_a_running_call_ends_well_when_the_broker_stops(world: World) -> None:
    async with echo_provider(world.credentials(PROVIDER)) as echo:
        echo.delay = 0.7
        edge = world.edge("a", upstream(echo.endpoint))
        edge.envoy.start()
        async with channel_to(edge, world.credentials(OTHER)) as channel:
            running = asyncio.create_task(call(channel))
            await echo.arrived.wait()
            await asyncio.to_thread(edge.envoy.stop)
            assert await running == b"hello"


def test_two_brokers_run_side_by_side(world: World) -> None:
    with world.edge("a") as one, world.edge("b") as two:
        assert one.envoy.supervisor.ready
        assert two.envoy.supervisor.ready


def test_a_second_broker_on_one_state_directory_is_refused(world: World, idle_edge: Edge) -> None:
    with pytest.raises(EngineError, match="already runs"), world.edge("a"):
        pass


def test_a_taken_port_is_said_at_once(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        edge = world.edge("a", listen=Endpoint("127.0.0.1", taken.getsockname()[1]))
        began = time.monotonic()
        with pytest.raises(EngineError, match="free"):
            edge.envoy.start()
    assert time.monotonic() - began < 10


def test_stopping_leaves_no_process_and_no_socket(world: World) -> None:
    edge = world.edge("a")
    edge.envoy.start()
    run = edge.envoy.admin.path.parent
    pid = edge.envoy.supervisor.pid
    assert pid is not None
    assert run.stat().st_mode & 0o777 == 0o700
    edge.envoy.stop()
    assert not run.exists()
    assert not Path(f"/proc/{pid}").exists()


_HOLDER = """
import sys
from pathlib import Path
from tests.bus.engines.support import World
edge = World.create(Path(sys.argv[1])).edge("a")
edge.envoy.start()
print(edge.envoy.supervisor.pid, flush=True)
input()
"""


def test_a_killed_supervisor_takes_its_envoy_along(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        pid = int(holder.stdout.readline())
        holder.kill()
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)
    with World.create(tmp_path).edge("a") as again:  # and what it left behind is no obstacle
        assert again.envoy.supervisor.ready


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
