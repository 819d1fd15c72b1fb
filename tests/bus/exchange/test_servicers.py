"""Stock servicers behind the runtime: what they are told, what they may answer, what never leaves when they fail."""

import asyncio
import logging
from typing import Any

import grpc
import pytest
from vn.administrative.v1 import administrative_pb2 as pb

from bus.exchange import call_context, exceptions, fixed_text, govbus_call
from bus.exchange.errors import ProviderError
from tests.bus.exchange.world import CLIENT, UNKNOWN_UNIT, World, ask, running, unit

DATA = "Nguyen Van A 001099012345"  # synthetic


async def test_failure_of_a_servicer_tells_nothing_of_what_it_held(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(world) as bus:

        async def fail(_: Any) -> None:
            raise RuntimeError(DATA)

        bus.units.behave = fail
        with caplog.at_level(logging.DEBUG), pytest.raises(exceptions.ProviderInternal) as error:
            await bus.stub.GetUnit(ask())
    assert isinstance(error.value, ProviderError)
    told = f"{error.value} {error.value.details()} {error.value.status_details()!r} {caplog.text}"
    assert DATA not in told
    assert "RuntimeError" in caplog.text


async def test_text_that_was_not_declared_is_replaced(world: World) -> None:
    async with running(world) as bus:

        async def refuse(context: Any) -> None:
            await context.abort(grpc.StatusCode.NOT_FOUND, DATA)

        bus.units.behave = refuse
        with pytest.raises(ProviderError) as error:
            await bus.stub.GetUnit(ask())
        assert error.value.details() == "The service answers NOT_FOUND."


async def test_text_declared_while_serving_is_not_one_of_the_servers(world: World) -> None:
    async with running(world) as bus:

        async def refuse(context: Any) -> None:
            await context.abort(grpc.StatusCode.NOT_FOUND, fixed_text(f"made from a request: {DATA}"))

        bus.units.behave = refuse
        with pytest.raises(ProviderError) as error:
            await bus.stub.GetUnit(ask())
        assert error.value.details() == "The service answers NOT_FOUND."


@pytest.mark.parametrize("text", ["", "x" * 257, "Thành phố", "two\nlines"])
def test_text_that_is_no_plain_line_is_not_declared(text: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII"):
        fixed_text(text)


async def test_code_set_without_abort_is_answered_too(world: World) -> None:
    async with running(world) as bus:

        async def refuse(context: Any) -> pb.GetUnitResponse:
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION)
            context.set_details(UNKNOWN_UNIT)
            return pb.GetUnitResponse()

        bus.units.behave = refuse
        with pytest.raises(ProviderError) as error:
            await bus.stub.GetUnit(ask())
        assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert error.value.details() == UNKNOWN_UNIT


async def test_plain_function_is_served_in_a_thread_and_may_abort(world: World) -> None:
    async with running(world) as bus:
        answer = await bus.stub.ResolveUnit(pb.ResolveUnitRequest(code=ask("02").code))
        assert answer.unit.code.code == "02"
        with pytest.raises(ProviderError) as error:
            await bus.stub.ResolveUnit(pb.ResolveUnitRequest(code=ask("99").code))
        assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_context_names_the_verified_client_and_nothing_of_the_bus(world: World) -> None:
    seen: dict[str, Any] = {}

    async with running(world) as bus:

        async def look(context: Any) -> None:
            seen["peer"] = context.peer()
            seen["metadata"] = tuple(context.invocation_metadata())
            seen["identities"] = tuple(context.peer_identities())
            seen["left"] = context.time_remaining()
            with pytest.raises(ValueError, match="put it into the message"):
                context.set_trailing_metadata((("x-own", "1"),))
            with pytest.raises(ValueError, match="put it into the message"):
                context.set_compression(grpc.Compression.Gzip)

        bus.units.behave = look
        await bus.stub.GetUnit(ask(), timeout=3)
    assert seen["peer"] == world.spiffe(CLIENT)
    assert seen["metadata"] == ()
    assert seen["identities"] == (world.spiffe(CLIENT).encode(),)
    assert 1 < seen["left"] <= 3


async def test_message_that_breaks_a_rule_is_refused_by_its_field_without_its_value(world: World) -> None:
    async with running(world) as bus:
        bad = ask()
        bad.code.code_list_version = "001099012345"
        with pytest.raises(exceptions.MessageInvalid) as error:
            await bus.stub.GetUnit(bad)
        assert error.value.metadata == {"field": "code.code_list_version"}
        assert "001099012345" not in str(error.value)
        assert bus.units.calls == []


async def test_message_that_does_not_parse_is_refused(world: World) -> None:
    async with running(world) as bus:
        method = "/vn.administrative.v1.AdministrativeUnitService/GetUnit"
        raw = bus.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(exceptions.MessageInvalid) as error:
            await raw(b"\xff\xff\xff")
        assert error.value.metadata == {"field": "message"}
        assert bus.units.calls == []


async def test_answer_that_breaks_its_contract_is_the_providers_failure(world: World) -> None:
    async with running(world) as bus:

        async def wrong(_: Any) -> pb.GetUnitResponse:
            return pb.GetUnitResponse()

        bus.units.behave = wrong
        with pytest.raises(exceptions.ProviderInternal):
            await bus.stub.GetUnit(ask())


async def test_servicer_that_answers_no_message_has_failed(world: World) -> None:
    async with running(world) as bus:

        async def wrong(_: Any) -> Any:
            return "text"

        bus.units.behave = wrong
        with pytest.raises(exceptions.ProviderInternal):
            await bus.stub.GetUnit(ask())


async def test_client_that_goes_away_cancels_the_servicer(world: World) -> None:
    async with running(world) as bus:
        cancelled = asyncio.Event()

        async def wait(_: Any) -> None:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled.set()
                raise

        bus.units.behave = wait
        call = bus.stub.GetUnit(ask())
        await bus.units.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(cancelled.wait(), 2)


async def test_nearest_statement_of_purpose_case_and_official_wins(world: World) -> None:
    async with running(world, client={"official": "desk-1"}) as bus:
        with call_context(case_id="outer", official="desk-2"), call_context(case_id="inner"):
            await bus.stub.GetUnit(ask())
            await bus.stub_using(official="desk-3").GetUnit(ask())
        await bus.stub.GetUnit(ask())
        assert [(call.case_id, call.official) for call in bus.units.calls] == [
            ("inner", "desk-2"),
            ("inner", "desk-3"),
            ("2026-0001", "desk-1"),
        ]


def test_outside_a_servicer_no_call_is_being_served() -> None:
    with pytest.raises(LookupError, match="inside a servicer"):
        govbus_call()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"case_id": ""}, exceptions.FieldInvalid),
        ({"case_id": "001099012345"}, exceptions.IdentifierPersonal),
        ({"official": "has space"}, exceptions.FieldInvalid),
        ({"idempotency_key": "0010-9901-2345"}, exceptions.IdentifierPersonal),
        ({"purpose": "tax.audit"}, exceptions.NoGrant),
    ],
)
async def test_statement_that_may_not_stand_in_a_header_is_refused_before_sending(
    world: World, said: dict[str, str], reason: type[Exception]
) -> None:
    async with running(world) as bus:
        with pytest.raises(reason):
            await bus.stub_using(**said).GetUnit(ask())
        assert bus.broker.calls_admitted == 0


async def test_metadata_of_a_stock_call_is_refused_not_dropped(world: World) -> None:
    async with running(world) as bus:
        for extra in ({"metadata": (("x", "y"),)}, {"compression": grpc.Compression.Gzip}):
            with pytest.raises(ValueError, match=r"channel\.using"):
                bus.stub.GetUnit(ask(), **extra)


async def test_too_large_a_message_is_refused_before_sending(world: World) -> None:
    async with running(world) as bus:
        method = "/vn.administrative.v1.AdministrativeUnitService/GetUnit"
        raw = bus.channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
        with pytest.raises(exceptions.BodyTooLarge):
            await raw(bytes(4 * 1024 * 1024 + 1))


async def test_answer_beyond_the_limit_is_the_providers_refusal(world: World) -> None:
    async with running(world) as bus:

        async def much(_: Any) -> pb.GetUnitResponse:
            answer = pb.GetUnitResponse()
            answer.ParseFromString(unit_bytes() + b"\x7a\x81\x80\x80\x02" + bytes(4 * 1024 * 1024 + 1))
            return answer

        bus.units.behave = much
        with pytest.raises(exceptions.ResponseTooLarge) as error:
            await bus.stub.GetUnit(ask())
        assert isinstance(error.value, ProviderError)


def unit_bytes() -> bytes:
    return pb.GetUnitResponse(unit=unit()).SerializeToString()
