"""Stock gRPC programs at the proxy's address, which know nothing of signing: what reaches them, and who is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bus.proxy import ProxyServer  # isort: skip - before gRPC

import grpc
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from grpc import aio
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from tests.integration.world import CALLER, CODE_LIST, PURPOSE, UNITS, Running, ask, running

SAID = (("govbus-purpose", PURPOSE), ("govbus-case", "case-p1"))


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bus(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("proxy") / "an instance") as found:
        yield found


@asynccontextmanager
async def stub(bus: Running, *, token: str | None = None) -> AsyncIterator["rpc.AdministrativeUnitServiceAsyncStub"]:
    domain = bus.instance.trust_domain
    server = ProxyServer(bus.channel, domain, token=token)
    port = await server.start("127.0.0.1:0")
    try:
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield rpc.AdministrativeUnitServiceStub(channel)
    finally:
        await server.stop()


async def refused(call: aio.UnaryUnaryCall[pb.GetUnitRequest, pb.GetUnitResponse]) -> aio.AioRpcError:
    with pytest.raises(aio.AioRpcError) as found:
        await call
    return found.value


async def test_stock_stub_without_any_key_gets_the_verified_answer_and_the_calls_name(bus: Running) -> None:
    async with stub(bus) as plain:
        call = plain.GetUnit(ask(), metadata=SAID, timeout=10)
        assert (await call).unit.name == "Thành phố Hà Nội"
        told = dict(await call.trailing_metadata() or ())
        assert bytes.fromhex(str(told["govbus-request-id"]))[6] >> 4 == 7
        streamed = [
            found
            async for found in plain.ListUnits(
                pb.ListUnitsRequest(code_list_version=CODE_LIST), metadata=SAID, timeout=10
            )
        ]
        assert len(streamed) == 3


async def test_refusal_of_the_bus_and_error_of_the_provider_arrive_as_they_are(bus: Running) -> None:
    async with stub(bus) as plain:
        forbidden = await refused(plain.GetUnit(ask(), metadata=(("govbus-purpose", "tax.audit"),), timeout=10))
        assert forbidden.code() is grpc.StatusCode.PERMISSION_DENIED
        assert dict(forbidden.trailing_metadata())["govbus-reason"] == "NO_GRANT"
        status = status_pb2.Status.FromString(bytes(dict(forbidden.trailing_metadata())["grpc-status-details-bin"]))
        info = error_details_pb2.ErrorInfo()
        assert status.details[0].Unpack(info)
        assert (info.domain, info.reason) == ("govbus", "NO_GRANT")

        unknown = await refused(plain.GetUnit(ask("99"), metadata=SAID, timeout=10))
        assert unknown.code() is grpc.StatusCode.NOT_FOUND
        assert "govbus-reason" not in dict(unknown.trailing_metadata())


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ((("govbus-purpos", "civil.birth"),), "unknown metadata key"),
        ((("govbus-case", "a"), ("govbus-case", "b")), "govbus-case is there twice"),
        ((("govbus-provider", "gov/moha"),), "govbus-provider is not"),
        ((("govbus-request-bin", b"x"),), "unknown metadata key"),
    ],
)
async def test_misspelt_statement_is_refused_and_never_another_one(
    bus: Running, said: tuple[tuple[str, str | bytes], ...], named: str
) -> None:
    async with stub(bus) as plain:
        found = await refused(plain.GetUnit(ask(), metadata=(*SAID[:1], *said), timeout=10))
    assert found.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert named in str(found.details())


async def test_provider_and_grant_said_in_metadata_are_the_signed_ones(bus: Running) -> None:
    async with stub(bus) as plain:
        whom = (("govbus-provider", UNITS), ("govbus-grant", "grant-1"))
        assert (await plain.GetUnit(ask(), metadata=(*SAID, *whom), timeout=10)).unit.name
        other = (("govbus-provider", CALLER), ("govbus-grant", "grant-1"))
        found = await refused(plain.GetUnit(ask(), metadata=(*SAID, *other), timeout=10))
    assert dict(found.trailing_metadata())["govbus-reason"] == "NO_GRANT"


@pytest.mark.parametrize("given", [(), (("authorization", "Bearer other"),), (("authorization", "t0ken"),)])
async def test_other_users_of_the_machine_are_refused_before_anything_is_signed(
    bus: Running, given: tuple[tuple[str, str], ...]
) -> None:
    signed = bus.channel.signatures_made
    async with stub(bus, token="t0ken") as plain:  # noqa: S106 - a test's
        found = await refused(plain.GetUnit(ask(), metadata=(*SAID, *given), timeout=10))
        assert found.code() is grpc.StatusCode.UNAUTHENTICATED
        assert bus.channel.signatures_made == signed
        right = ("authorization", "Bearer t0ken")
        assert (await plain.GetUnit(ask(), metadata=(*SAID, right), timeout=10)).unit.name


async def test_callers_deadline_is_the_calls(bus: Running) -> None:
    async with stub(bus) as plain:
        found = await refused(plain.GetUnit(ask(), metadata=SAID, timeout=0.001))
    assert found.code() is grpc.StatusCode.DEADLINE_EXCEEDED
