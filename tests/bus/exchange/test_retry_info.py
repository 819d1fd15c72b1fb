"""What is used up and comes back: the refusal says when, the client waits no longer than its caller does."""

import asyncio
from typing import Any, ClassVar

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from vn.administrative.v1 import administrative_pb2 as pb

from benchmarks.python_forwarder import PythonBroker
from bus.exchange import CallError, exceptions, metadata
from bus.exchange.errors import Failure, ProviderError, Refused, exception_for
from bus.exchange.meanings import DOMAIN, Called, meaning, parse_refusal, parse_retry_after
from bus.exchange.reasons import Reason
from bus.exchange.retry import may_retry, pause_after
from tests.bus.exchange.world import World, ask, running

USED_UP = (Reason.RATE_LIMITED, Reason.QUOTA_EXCEEDED, Reason.VERIFICATION_BUDGET)
SECOND = 10**9


def details(reason: Reason, *pauses: tuple[int, int] | bytes) -> bytes:
    """A refusal's details; each pause is (seconds, nanos), or the bytes that pass for a RetryInfo."""
    status = status_pb2.Status(code=meaning(reason).code.value[0], message=meaning(reason).text)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    for pause in pauses:
        if isinstance(pause, bytes):
            status.details.append(any_pb2.Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=pause))
        else:
            delay = duration_pb2.Duration(seconds=pause[0], nanos=pause[1])
            status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    encoded: bytes = status.SerializeToString()
    return encoded


def refusal(reason: Reason, encoded: bytes, origin: type[CallError] = Refused) -> CallError:
    said = meaning(reason)
    return exception_for(origin, reason)(Failure(reason, said.code, said.text, status_details=encoded))


@pytest.mark.parametrize("reason", USED_UP)
def test_exception_says_when_asking_again_may_help(reason: Reason) -> None:
    told: Any = refusal(reason, details(reason, (2, SECOND // 2)))
    assert told.retry_after == 2.5
    untold: Any = refusal(reason, details(reason))
    assert untold.retry_after is None
    nothing: Any = refusal(reason, b"")
    assert nothing.retry_after is None


@pytest.mark.parametrize(
    "pause",
    [
        (-1, 0),
        (0, -1),
        (-5, -5),
        (0, SECOND),
        (86_401, 0),
        (2**63 - 1, 999_999_999),
        (-(2**63), 0),
        b"\xff\xff\xff",
        b"\x0a\xff",
        b"\x0a\x02\x08",
    ],
    ids=repr,
)
def test_hostile_pause_is_none(pause: tuple[int, int] | bytes) -> None:
    encoded = details(Reason.RATE_LIMITED, pause)
    assert parse_retry_after(encoded) is None
    told: Any = refusal(Reason.RATE_LIMITED, encoded)
    assert told.retry_after is None
    assert pause_after(told) == 0
    assert not may_retry(told, idempotent=True, left_s=1e9)


@pytest.mark.parametrize("garbage", [b"\xff", b"\x0a", bytes(64), b"\x1a\x05hello"])
def test_garbage_for_details_is_harmless(garbage: bytes) -> None:
    assert parse_retry_after(garbage) is None
    assert parse_refusal(garbage) is None


def test_longest_and_shortest_pause_are_believed_and_only_the_first() -> None:
    assert parse_retry_after(details(Reason.RATE_LIMITED, (86_400, 0))) == 86_400
    assert parse_retry_after(details(Reason.RATE_LIMITED, (86_400, SECOND - 1))) == 86_400
    assert parse_retry_after(details(Reason.RATE_LIMITED, (0, 0))) == 0
    assert parse_retry_after(details(Reason.RATE_LIMITED, (1, 0), (50, 0))) == 1
    assert parse_retry_after(details(Reason.RATE_LIMITED, (-1, 0), (50, 0))) is None


def test_rate_is_waited_for_within_the_deadline_and_nothing_else_is() -> None:
    rate = refusal(Reason.RATE_LIMITED, details(Reason.RATE_LIMITED, (2, 0)))
    assert may_retry(rate, idempotent=True, left_s=2.2)
    assert not may_retry(rate, idempotent=True, left_s=2.0)
    assert not may_retry(rate, idempotent=False, left_s=60)
    assert 2 <= pause_after(rate) <= 2.1
    for reason in (Reason.QUOTA_EXCEEDED, Reason.VERIFICATION_BUDGET):
        told = refusal(reason, details(reason, (0, 1)))
        assert not may_retry(told, idempotent=True, left_s=60)
        assert pause_after(told) == 0


def test_pause_in_a_providers_own_words_is_its_answer() -> None:
    """The bus counts rates; a provider that says so speaks of its own, and its answer is the caller's matter."""
    told = refusal(Reason.RATE_LIMITED, details(Reason.RATE_LIMITED, (0, 1)), ProviderError)
    assert not may_retry(told, idempotent=True, left_s=60)


class Limiting(PythonBroker):
    """Refuses the first calls with these details, and counts all."""

    encoded: ClassVar[bytes]
    reason: ClassVar[Reason]
    left: int
    asked: int = 0

    async def _admit(self, path: str, body: bytes, context: Any) -> Any:
        self.asked += 1
        if self.left:
            self.left -= 1
            said = meaning(self.reason)
            await context.abort(said.code, said.text, ((metadata.STATUS_DETAILS, self.encoded),))
        return await super()._admit(path, body, context)


def limiting(reason: Reason, *pauses: tuple[int, int] | bytes, times: int = 1) -> type[Any]:
    return type("Limited", (Limiting,), {"reason": reason, "encoded": details(reason, *pauses), "left": times})


async def test_call_waits_as_long_as_it_was_told_and_asks_again(world: World) -> None:
    kind = limiting(Reason.RATE_LIMITED, (0, SECOND // 2))
    async with running(world, kind=kind) as bus:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await bus.stub.GetUnit(ask(), timeout=30)
        assert loop.time() - began >= 0.5
        assert bus.broker.asked == 2  # type: ignore[attr-defined]  # the kind above
        assert len(bus.units.calls) == 1


async def test_broker_cannot_make_a_caller_wait_past_its_deadline(world: World) -> None:
    kind = limiting(Reason.RATE_LIMITED, (3_600, 0))
    async with running(world, kind=kind) as bus:
        with pytest.raises(exceptions.RateLimited) as told:
            await asyncio.wait_for(bus.stub.GetUnit(ask(), timeout=20), 15)
        assert told.value.retry_after == 3_600
        assert bus.broker.asked == 1  # type: ignore[attr-defined]  # the kind above


@pytest.mark.parametrize(
    ("reason", "pause"),
    [(Reason.QUOTA_EXCEEDED, (0, 1)), (Reason.VERIFICATION_BUDGET, (0, 1)), (Reason.RATE_LIMITED, (-3, 0))],
)
async def test_what_is_not_waited_for_is_told_at_once(world: World, reason: Reason, pause: tuple[int, int]) -> None:
    async with running(world, kind=limiting(reason, pause, times=9)) as bus:
        with pytest.raises(Refused) as told:
            await bus.stub.GetUnit(ask(), timeout=20)
        assert told.value.reason is reason
        assert bus.broker.asked == 1  # type: ignore[attr-defined]  # the kind above


async def test_method_that_is_not_idempotent_is_not_asked_again_after_a_pause(world: World) -> None:
    async with running(world, kind=limiting(Reason.RATE_LIMITED, (0, 1))) as bus:
        with pytest.raises(exceptions.RateLimited):
            await bus.stub.ResolveUnit(pb.ResolveUnitRequest(code=ask().code), timeout=20)
        assert bus.broker.asked == 1  # type: ignore[attr-defined]  # the kind above


async def test_unsigned_refusal_is_believed_as_a_refusal_only(world: World) -> None:
    """A pause proves nothing about the provider: the error stays the bus's word, without a receipt."""
    async with running(world, kind=limiting(Reason.QUOTA_EXCEEDED, (5, 0))) as bus:
        with pytest.raises(exceptions.QuotaExceeded) as told:
            await bus.stub.GetUnit(ask(), timeout=20)
        assert isinstance(told.value, Refused)
        assert not isinstance(told.value, ProviderError)
        assert told.value.provider_called is Called.NO
        assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert told.value.evidence is not None
        assert told.value.evidence.receipt == b""
