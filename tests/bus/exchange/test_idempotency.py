"""One effect for one key: the contract of a store, and a provider that keeps it."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest
from vn.administrative.v1 import administrative_pb2 as pb

from bus.exchange import exceptions
from bus.exchange.errors import ProviderError
from bus.exchange.idempotency import MemoryStore, Scope
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from tests.bus.exchange.world import World, ask, running, unit

SCOPE = Scope("client", "provider", "/a.B/C", "key")
BODY, OTHER = b"1" * 32, b"2" * 32


def refused(reason: Reason) -> Any:
    return pytest.raises(RequestRefused, check=lambda error: error.reason is reason)


async def test_stored_answer_is_given_for_the_same_body_only() -> None:
    store = MemoryStore()
    assert await store.begin(SCOPE, BODY, 0.0) is None
    with refused(Reason.IDEMPOTENCY_RUNNING):
        await store.begin(SCOPE, BODY, 1.0)
    await store.finish(SCOPE, b"answer")
    assert await store.begin(SCOPE, BODY, 2.0) == b"answer"
    with refused(Reason.IDEMPOTENCY_CONFLICT):
        await store.begin(SCOPE, OTHER, 3.0)


@pytest.mark.parametrize("field", ["client", "provider", "method", "key"])
async def test_scope_differs_by_each_of_its_parts(field: str) -> None:
    store = MemoryStore()
    await store.begin(SCOPE, BODY, 0.0)
    assert await store.begin(replace(SCOPE, **{field: "other"}), OTHER, 0.0) is None


async def test_abandoned_scope_can_be_asked_again_and_an_answered_one_stays() -> None:
    store = MemoryStore()
    await store.begin(SCOPE, BODY, 0.0)
    await store.abandon(SCOPE)
    assert await store.begin(SCOPE, OTHER, 1.0) is None
    await store.finish(SCOPE, b"answer")
    await store.abandon(SCOPE)
    assert await store.begin(SCOPE, OTHER, 2.0) == b"answer"


async def test_answer_is_kept_for_a_day_and_not_longer() -> None:
    store = MemoryStore()
    await store.begin(SCOPE, BODY, 0.0)
    await store.finish(SCOPE, b"answer")
    assert await store.begin(SCOPE, BODY, 86_399.0) == b"answer"
    assert await store.begin(SCOPE, OTHER, 86_401.0) is None
    assert len(store) == 1


@pytest.mark.parametrize("limits", [{"max_entries": 1}, {"max_bytes": 5}])
async def test_full_store_refuses_rather_than_forgets(limits: dict[str, int]) -> None:
    store = MemoryStore(**limits)
    await store.begin(SCOPE, BODY, 0.0)
    await store.finish(SCOPE, b"answer")
    with refused(Reason.OVERLOADED):
        await store.begin(Scope("another", "provider", "/a.B/C", "key"), BODY, 1.0)
    assert await store.begin(SCOPE, BODY, 1.0) == b"answer"


async def test_repeatable_calls_leave_room_for_those_that_are_not() -> None:
    store = MemoryStore(max_entries=4)
    for key in ("a", "b"):
        await store.begin(replace(SCOPE, key=key), BODY, 0.0, repeatable=True)
    with refused(Reason.OVERLOADED):
        await store.begin(replace(SCOPE, key="c"), BODY, 0.0, repeatable=True)
    for key in ("c", "d"):
        await store.begin(replace(SCOPE, key=key), BODY, 0.0)
    with refused(Reason.OVERLOADED):
        await store.begin(replace(SCOPE, key="e"), BODY, 0.0)


async def test_second_call_with_the_key_is_answered_without_calling_the_service(world: World) -> None:
    async with running(world) as bus:
        stub = bus.stub_using(idempotency_key="notice-77")
        first = await stub.GetUnit(ask("02"))
        assert await stub.GetUnit(ask("02")) == first
        assert len(bus.units.calls) == 1


async def test_key_used_for_another_body_is_refused(world: World) -> None:
    async with running(world) as bus:
        stub = bus.stub_using(idempotency_key="notice-77")
        await stub.GetUnit(ask("02"))
        with pytest.raises(exceptions.IdempotencyConflict) as error:
            await stub.GetUnit(ask("03"))
        assert isinstance(error.value, ProviderError)
        assert len(bus.units.calls) == 1


async def test_key_whose_first_call_still_runs_waits_for_its_answer(world: World) -> None:
    async with running(world) as bus:
        go = asyncio.Event()

        async def wait(_: Any) -> None:
            await go.wait()

        bus.units.behave = wait
        stub = bus.stub_using(idempotency_key="notice-77")
        first = asyncio.ensure_future(stub.GetUnit(ask()))
        await bus.units.arrived.wait()
        second = asyncio.ensure_future(stub.GetUnit(ask()))
        await asyncio.sleep(0.05)
        go.set()
        assert await first == await second
        assert len(bus.units.calls) == 1


async def test_effect_whose_caller_left_half_way_does_not_happen_twice(world: World) -> None:
    """RESOLVE stands for a method that must not be called twice: its contract here does not say `idempotent`."""
    async with running(world) as bus:
        begun, go_on, effects = threading.Event(), threading.Event(), list[int]()

        def resolve(request: pb.ResolveUnitRequest, context: object) -> pb.ResolveUnitResponse:
            effects.append(1)
            begun.set()
            go_on.wait(5)
            return pb.ResolveUnitResponse(unit=unit(request.code.code))

        bus.units.resolve = resolve
        stub = bus.stub_using(idempotency_key="notice-77")
        first = asyncio.ensure_future(stub.ResolveUnit(pb.ResolveUnitRequest(code=ask().code), timeout=0.3))
        assert await asyncio.to_thread(begun.wait, 5)
        with pytest.raises(exceptions.Deadline):
            await first
        go_on.set()
        await asyncio.sleep(0.2)
        await stub.ResolveUnit(pb.ResolveUnitRequest(code=ask().code))
        assert len(effects) == 1


async def test_full_store_stops_no_method_that_may_be_called_twice(world: World) -> None:
    """The SDK gives every such call a key, so its ordinary calls alone fill any store within a day."""
    async with running(world, store=MemoryStore(max_entries=2)) as bus:
        for code in ("01", "02", "03"):
            await bus.stub.GetUnit(ask(code))
        assert len(bus.units.calls) == 3
        await bus.stub.ResolveUnit(pb.ResolveUnitRequest(code=ask().code))
        with pytest.raises(exceptions.Overloaded):
            await bus.stub_using(idempotency_key="notice-77").ResolveUnit(pb.ResolveUnitRequest(code=ask().code))


async def test_call_that_failed_is_served_again(world: World) -> None:
    async with running(world) as bus:

        async def fail(_: Any) -> None:
            raise RuntimeError

        bus.units.behave = fail
        stub = bus.stub_using(idempotency_key="notice-77")
        with pytest.raises(exceptions.ProviderInternal):
            await stub.GetUnit(ask())
        bus.units.behave = None
        await stub.GetUnit(ask())
        assert len(bus.units.calls) == 2
