"""What is asked again and what is not: by the reason, never by hope (protocol.md 6)."""

import asyncio
import socket
import time
from contextlib import suppress
from typing import Any, ClassVar

import grpc
import pytest
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from benchmarks.python_forwarder import PythonBroker, _refuse
from bus.exchange import connect, exceptions, metadata
from bus.exchange.context import IncomingCall
from bus.exchange.errors import Failure, ProviderError, Refused, RefusedLocally, exception_for
from bus.exchange.meanings import Called, meaning
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from bus.exchange.retry import may_retry
from native.codec import decode_request_header
from native.headers import RequestHeader
from tests.bus.exchange.world import BROKER, BROKER_2, CODE_LIST, PROVIDER, World, ask, running, start_broker

ALWAYS = {
    Reason.CLOCK_UNTRUSTED,
    Reason.POLICY_STALE,
    Reason.OVERLOADED,
    Reason.JOURNAL_UNAVAILABLE,
    Reason.DRAINING,
    Reason.PROVIDER_UNREACHABLE,
    Reason.BROKER_UNREACHABLE,
    Reason.REGISTRY_UNAVAILABLE,
}
IDEMPOTENT_ONLY = {
    Reason.PROVIDER_LOST,
    Reason.OUTCOME_UNRECORDED,
    Reason.IDEMPOTENCY_RUNNING,
    Reason.REFUSAL_UNREADABLE,
}


def error(origin: type[Any], reason: Reason) -> Exception:
    found = meaning(reason)
    made: Exception = exception_for(origin, reason)(Failure(reason, found.code, found.text))
    return made


@pytest.mark.parametrize("reason", Reason)
def test_what_this_side_found_itself_is_not_asked_again(reason: Reason) -> None:
    """Reaching one is tried until the deadline, by the runtime: what says that none was reached is the end of that."""
    assert not may_retry(error(RefusedLocally, reason), idempotent=True, left_s=60)


@pytest.mark.parametrize("reason", Reason)
def test_rule_for_each_reason(reason: Reason) -> None:
    assert may_retry(error(Refused, reason), idempotent=False, left_s=60) is (reason in ALWAYS)
    assert may_retry(error(Refused, reason), idempotent=True, left_s=60) is (reason in ALWAYS | IDEMPOTENT_ONLY)
    assert not may_retry(error(Refused, reason), idempotent=True, left_s=0)


def test_providers_own_error_is_an_answer() -> None:
    plain = ProviderError(Failure(None, grpc.StatusCode.UNAVAILABLE, "busy"))
    assert not may_retry(plain, idempotent=True, left_s=60)
    assert not may_retry(error(ProviderError, Reason.PROVIDER_INTERNAL), idempotent=True, left_s=60)
    assert may_retry(error(ProviderError, Reason.IDEMPOTENCY_RUNNING), idempotent=True, left_s=60)
    assert may_retry(error(ProviderError, Reason.DRAINING), idempotent=False, left_s=60)


class Flaky(PythonBroker):
    """Refuses the first calls with `reason` and remembers every request header."""

    reason: ClassVar[Reason]
    left: int = 2
    headers: ClassVar[list[RequestHeader]]

    async def _admit(self, path: str, body: bytes, context: Any) -> Any:
        encoded = next(value for key, value in context.invocation_metadata() if key == metadata.REQUEST)
        self.headers.append(decode_request_header(encoded))
        if self.left:
            self.left -= 1
            raise RequestRefused(self.reason)
        return await super()._admit(path, body, context)


def flaky(reason: Reason, times: int = 2) -> type[Any]:
    return type("Flaky", (Flaky,), {"reason": reason, "left": times, "headers": []})


async def test_retry_is_a_new_request_under_the_same_idempotency_key(world: World) -> None:
    kind = flaky(Reason.OVERLOADED)
    async with running(world, kind=kind) as bus:
        await bus.stub.GetUnit(ask())
        assert len(kind.headers) == 3
        assert len({header.request_id for header in kind.headers}) == 3
        assert len({header.idempotency_key for header in kind.headers}) == 1
        assert kind.headers[0].idempotency_key
        (call,) = bus.units.calls
        assert call.idempotency_key == kind.headers[0].idempotency_key


async def test_reason_that_is_an_answer_is_not_asked_again(world: World) -> None:
    kind = flaky(Reason.RATE_LIMITED)
    async with running(world, kind=kind) as bus:
        with pytest.raises(exceptions.RateLimited):
            await bus.stub.GetUnit(ask())
        assert len(kind.headers) == 1


async def test_method_that_is_not_idempotent_is_not_asked_again_when_the_provider_may_have_acted(world: World) -> None:
    kind = flaky(Reason.PROVIDER_LOST)
    async with running(world, kind=kind) as bus:
        with pytest.raises(exceptions.ProviderLost):
            await bus.stub.ResolveUnit(pb.ResolveUnitRequest(code=ask().code))
        assert len(kind.headers) == 1


async def test_broker_that_lies_about_the_provider_cannot_make_an_effect_happen_twice(world: World) -> None:
    """It delivers, keeps the signed answer, and says OVERLOADED: unsigned, and UNAVAILABLE means "not called"."""

    class Liar(PythonBroker):
        lies = 2

        async def _forward(self, admitted: Any, path: str, body: bytes, context: Any, *rest: Any) -> None:
            await super()._forward(admitted, path, body, context, *rest)
            if Liar.lies:
                Liar.lies -= 1
                await _refuse(context, Reason.OVERLOADED, {})

    async with running(world, kind=Liar) as bus:
        await bus.stub.ResolveUnit(pb.ResolveUnitRequest(code=ask().code))
        assert not Liar.lies
        assert len(bus.units.calls) == 1


async def test_method_that_is_not_idempotent_is_asked_again_when_the_provider_was_not_called(world: World) -> None:
    kind = flaky(Reason.JOURNAL_UNAVAILABLE)
    async with running(world, kind=kind) as bus:
        await bus.stub.ResolveUnit(pb.ResolveUnitRequest(code=ask().code))
        assert len(kind.headers) == 3


async def test_retries_end_and_tell_the_last_reason(world: World) -> None:
    kind = flaky(Reason.OVERLOADED, times=100)
    async with running(world, kind=kind) as bus:
        with pytest.raises(exceptions.Overloaded):
            await bus.stub.GetUnit(ask())
        assert 2 <= len(kind.headers) <= 5


async def test_next_broker_is_asked_when_one_is_down(world: World) -> None:
    async with running(world) as bus:
        second, _ = await start_broker(world, {PROVIDER: bus.server.port}, path=BROKER_2)
        config = world.client_config((BROKER, free_port()), (BROKER_2, second.port))
        async with connect(config) as channel:
            stub = rpc.AdministrativeUnitServiceStub(channel)
            for _ in range(4):
                await stub.GetUnit(ask())
        assert {call.broker for call in bus.units.calls} == {world.spiffe(BROKER_2)}
        await second.stop()


async def test_retry_goes_to_the_other_broker(world: World) -> None:
    kind = flaky(Reason.JOURNAL_UNAVAILABLE, times=1000)
    async with running(world, kind=kind) as bus:
        second, _ = await start_broker(world, {PROVIDER: bus.server.port}, path=BROKER_2)
        config = world.client_config((BROKER, bus.broker.port), (BROKER_2, second.port))
        async with connect(config) as channel:
            stub = rpc.AdministrativeUnitServiceStub(channel)
            await asyncio.gather(*(stub.GetUnit(ask()) for _ in range(6)))
        assert len(bus.units.calls) == 6
        await second.stop()


async def test_no_broker_at_all_is_told_as_such_and_nothing_was_sent(world: World) -> None:
    async with connect(world.client_config((BROKER, free_port()), timeout_ms=1_000)) as channel:
        began = time.monotonic()
        with pytest.raises(exceptions.BrokerUnreachable) as error:
            await rpc.AdministrativeUnitServiceStub(channel).GetUnit(ask())
        assert isinstance(error.value, RefusedLocally)
        assert time.monotonic() - began < 2


async def test_call_waits_for_a_broker_that_comes_back_before_the_deadline(world: World) -> None:
    async with running(world) as bus:
        relay = Relay(bus.broker.port)
        async with connect(world.client_config((BROKER, relay.port), timeout_ms=30_000)) as channel:
            asked = asyncio.ensure_future(rpc.AdministrativeUnitServiceStub(channel).GetUnit(ask()))
            # Far more attempts than MAX_RETRIES fail at once in this time.
            await asyncio.sleep(3)
            assert not asked.done()
            await relay.start()
            await asked
            assert len(bus.units.calls) == 1
        await relay.stop()


async def test_stream_waits_for_a_broker_too_since_nothing_was_sent(world: World) -> None:
    async with running(world) as bus:
        relay = Relay(bus.broker.port)
        async with connect(world.client_config((BROKER, relay.port), timeout_ms=30_000)) as channel:
            stub = rpc.AdministrativeUnitServiceStub(channel)
            stream = aiter(stub.ListUnits(pb.ListUnitsRequest(code_list_version=CODE_LIST)))
            first = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(1)
            assert not first.done()
            await relay.start()
            assert (await first).units[0].code.code == "01"
            assert [one.units[0].code.code async for one in stream] == ["02", "03"]
            assert len(bus.units.calls) == 1
        await relay.stop()


async def test_retry_that_reaches_nobody_does_not_hide_that_the_first_attempt_was_sent(world: World) -> None:
    """BROKER_UNREACHABLE says that nothing was sent; here the provider has acted."""
    async with running(world) as bus:
        relay = Relay(bus.broker.port)

        async def leave(_: Any) -> None:
            relay.leave()

        bus.units.behave = leave
        async with connect(world.client_config((BROKER, await relay.start()), timeout_ms=2_000)) as channel:
            with pytest.raises(exceptions.RefusalUnreadable) as error:
                await rpc.AdministrativeUnitServiceStub(channel).GetUnit(ask())
        assert error.value.provider_called is Called.MAYBE
        await relay.stop()


async def test_broker_that_dies_under_a_call_is_unreadable_and_may_have_acted(world: World) -> None:
    async with running(world) as bus:

        async def die(_: Any) -> None:
            await bus.broker._server.stop(0)  # type: ignore[union-attr]  # it runs

        bus.units.behave = die
        with pytest.raises((exceptions.RefusalUnreadable, exceptions.BrokerUnreachable)):
            await bus.stub.GetUnit(ask(), timeout=1)


async def test_deadline_is_told_and_leaves_open_whether_the_provider_acted(world: World) -> None:
    async with running(world) as bus:

        async def sleep(_: Any) -> None:
            await asyncio.sleep(5)

        bus.units.behave = sleep
        with pytest.raises(exceptions.Deadline) as error:
            await bus.stub.GetUnit(ask(), timeout=0.3)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_own_idempotency_key_is_the_one_that_travels(world: World) -> None:
    calls: list[IncomingCall] = []
    async with running(world) as bus:
        bus.units.calls = calls
        await bus.stub_using(idempotency_key="notice-77").GetUnit(ask())
        assert calls[0].idempotency_key == "notice-77"


class Relay:
    """A wire to a broker that can go dead without closing. Before `start` its port refuses connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        # Bound from the beginning: a free port would be anybody's, an outgoing connection's too.
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._alive = asyncio.Event()
        self._alive.set()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._connect, sock=self._socket)
        return self.port

    def freeze(self) -> None:
        self._alive.clear()

    def leave(self) -> None:
        """Break all connections and take no more."""
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def stop(self) -> None:
        self._alive.set()
        for writer in self._writers:
            writer.close()
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += (writer, their_writer)
        await asyncio.gather(self._pass_on(reader, their_writer), self._pass_on(their_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                await self._alive.wait()
                writer.write(data)
                await writer.drain()
            writer.close()


async def test_broker_that_freezes_is_left_for_another_within_two_seconds(world: World) -> None:
    async with running(world) as bus:
        second, _ = await start_broker(world, {PROVIDER: bus.server.port}, path=BROKER_2)
        relay = Relay(bus.broker.port)
        config = world.client_config((BROKER, await relay.start()), (BROKER_2, second.port), timeout_ms=8_000)
        async with connect(config) as channel:
            stub = rpc.AdministrativeUnitServiceStub(channel)
            await asyncio.gather(*(stub.GetUnit(ask()) for _ in range(4)))
            relay.freeze()
            began = time.monotonic()
            await asyncio.gather(*(stub.GetUnit(ask()) for _ in range(4)))
            assert time.monotonic() - began < 4
        await relay.stop()
        await second.stop()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
