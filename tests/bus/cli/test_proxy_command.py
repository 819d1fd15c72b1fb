"""`govbus proxy` as a program: its address, its token, its socket file, reflection, and its end."""

import asyncio
import json
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bus.exchange.tls import TlsError  # noqa: F401  # isort: skip - before gRPC

import grpc
import pytest
import pytest_asyncio
from grpc import aio
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.edge.nation import contract_image
from tests.bus.cli.conftest import COMMAND, Collector
from tests.clients.programs import PROGRAMS
from tests.clients.tools import environment, need
from tests.integration.world import CALLER, PURPOSE, Running, ask, running

SAID = (("govbus-purpose", PURPOSE), ("govbus-case", "case-p2"))
CAP_S = 30.0
SERVICE = "vn.administrative.v1.AdministrativeUnitService"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("proxy") / "an instance") as found:
        yield found


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room: the kernel takes 107 bytes of a socket's."""
    with tempfile.TemporaryDirectory(prefix="gv", dir="/tmp") as found:
        yield Path(found)


@asynccontextmanager
async def proxy(bus: Running, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """The program and what it said when it was ready."""
    image = bus.instance.state / "contracts.binpb"
    image.write_bytes(contract_image([pb.DESCRIPTOR]))
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "proxy", "--home", str(bus.instance.config(CALLER).parent), "--json"),
        *("--descriptor-set", str(image), *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        told = await asyncio.wait_for(process.stdout.readuntil(b"}\n"), CAP_S)
        yield process, json.loads(told)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(process.wait(), CAP_S) == 0


async def test_tool_with_the_token_calls_and_asks_what_there_is(bus: Running) -> None:
    async with proxy(bus) as (_, told), aio.insecure_channel(told["address"]) as channel:
        bearer = ("authorization", f"Bearer {told['token']}")
        stub: rpc.AdministrativeUnitServiceAsyncStub = rpc.AdministrativeUnitServiceStub(channel)
        answer = await stub.GetUnit(ask(), metadata=(SAID[0], bearer), timeout=CAP_S)  # the proxy makes a case
        assert answer.unit.name == "Thành phố Hà Nội"
        with pytest.raises(aio.AioRpcError) as refused:
            await stub.GetUnit(ask(), metadata=SAID, timeout=CAP_S)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await asyncio.to_thread(_reflected, told["address"], bearer) == [
            "grpc.reflection.v1alpha.ServerReflection",
            "vn.administrative.v1.AdministrativeUnitService",
        ]
        found = await asyncio.to_thread(_file_of, told["address"], bearer, f"{SERVICE}.GetUnit")
        assert found == "vn/administrative/v1/administrative.proto"
        with pytest.raises(KeyError):
            await asyncio.to_thread(_file_of, told["address"], bearer, "vn.nothing.v1.Nothing")


@contextmanager
def _reflection(address: str, bearer: tuple[str, str]) -> Iterator[ProtoReflectionDescriptorDatabase]:
    class Bearer(grpc.StreamStreamClientInterceptor):
        def intercept_stream_stream(self, go_on: Any, details: Any, requests: Any) -> Any:
            return go_on(details._replace(metadata=(bearer,)), requests)

    with grpc.insecure_channel(address) as channel:
        yield ProtoReflectionDescriptorDatabase(grpc.intercept_channel(channel, Bearer()))


def _reflected(address: str, bearer: tuple[str, str]) -> list[str]:
    with _reflection(address, bearer) as asked:
        return sorted(asked.get_services())


def _file_of(address: str, bearer: tuple[str, str], symbol: str) -> str:
    with _reflection(address, bearer) as asked:
        return str(asked.FindFileContainingSymbol(symbol).name)


async def test_socket_file_is_its_owners_and_a_killed_proxys_is_taken_over(bus: Running, short: Path) -> None:
    path = short / "p.sock"
    async with proxy(bus, "--socket", str(path)) as (first, told):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert told["token"] is None
        second = await asyncio.create_subprocess_exec(
            *(*COMMAND, "proxy", "--home", str(bus.instance.config(CALLER).parent), "--socket", str(path)),
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(second.communicate(), CAP_S)
        assert (second.returncode, b"another proxy listens" in said) == (2, True)
        first.kill()
        await first.wait()
    assert path.exists()
    async with proxy(bus, "--socket", str(path)), aio.insecure_channel(f"unix:{path}") as channel:
        stub: rpc.AdministrativeUnitServiceAsyncStub = rpc.AdministrativeUnitServiceStub(channel)
        assert (await stub.GetUnit(ask(), metadata=SAID, timeout=CAP_S)).unit.name
    assert not path.exists()


async def test_proxys_spans_are_below_the_tools_and_sent_by_its_end(
    bus: Running, collector: tuple[str, Collector], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector[0]}")
    trace_id, tools = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    async with proxy(bus) as (_, told), aio.insecure_channel(told["address"]) as channel:
        bearer = ("authorization", f"Bearer {told['token']}")
        stub: rpc.AdministrativeUnitServiceAsyncStub = rpc.AdministrativeUnitServiceStub(channel)
        traced = ("traceparent", f"00-{trace_id}-{tools}-01")
        await stub.GetUnit(ask(), metadata=(*SAID, bearer, traced), timeout=CAP_S)
    (span,) = collector[1].of(CALLER, f"{SERVICE}/GetUnit")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (trace_id, tools)


async def test_address_that_others_reach_is_refused(bus: Running) -> None:
    process = await asyncio.create_subprocess_exec(
        *(*COMMAND, "proxy", "--home", str(bus.instance.config(CALLER).parent), "--listen", "0.0.0.0:7000"),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await asyncio.wait_for(process.communicate(), CAP_S)
    assert (process.returncode, b"loopback address only" in said) == (2, True)


async def test_grpcurl_calls_by_reflection(bus: Running) -> None:
    need("grpcurl")
    async with proxy(bus) as (_, told):
        headers = [f"{key}: {value}" for key, value in (*SAID, ("authorization", f"Bearer {told['token']}"))]
        flags = [part for header in headers for part in ("-H", header)]
        ran = await asyncio.create_subprocess_exec(
            *("grpcurl", "-plaintext", *flags, "-d", '{"code": {"code": "01", "codeListVersion": "gso-2025-07"}}'),
            *(told["address"], "vn.administrative.v1.AdministrativeUnitService/GetUnit"),
            stdout=asyncio.subprocess.PIPE,
            env=environment(),
        )
        out, _ = await asyncio.wait_for(ran.communicate(), CAP_S)
    assert json.loads(out)["unit"]["name"] == "Thành phố Hà Nội"


@pytest.mark.parametrize("language", sorted(PROGRAMS))
async def test_program_of_another_language_calls_and_streams_and_sees_why_it_is_refused(
    bus: Running, tmp_path: Path, language: str
) -> None:
    async with proxy(bus) as (_, told):
        contracts = bus.instance.state / "contracts.binpb"
        command = await asyncio.to_thread(PROGRAMS[language], contracts, tmp_path)
        ran = await asyncio.create_subprocess_exec(
            *(*command, told["address"], str(contracts)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(GOVBUS_TOKEN=told["token"]),
        )
        out, wrong = await asyncio.wait_for(ran.communicate(), CAP_S)
    assert ran.returncode == 0, wrong
    found = json.loads(out)
    (request,) = found.pop("request")
    assert bytes.fromhex(request)[6] >> 4 == 7
    assert found.pop("code").replace("_", "").lower() == "permissiondenied"
    assert found == {"name": "Thành phố Hà Nội", "streamed": 3, "reason": "NO_GRANT"}
