"""Calls that succeed, through stock stubs and servicers, with everything verified on the way."""

from vn.administrative.v1 import administrative_pb2 as pb

from tests.bus.exchange.world import BROKER, CLIENT, PROVIDER, PURPOSE, World, ask, running


async def test_stock_stub_gets_a_verified_answer_and_servicer_knows_who_asked(world: World) -> None:
    async with running(world) as bus:
        answer = await bus.stub.GetUnit(ask("02"))
        assert answer.unit.code.code == "02"
        (call,) = bus.units.calls
        assert call.client == world.spiffe(CLIENT)
        assert call.provider == world.spiffe(PROVIDER)
        assert call.broker == world.spiffe(BROKER)
        assert (call.purpose, call.case_id) == (PURPOSE, "2026-0001")
        assert call.sequence == 1
        assert 0 < call.remaining_s() <= 5


async def test_stream_is_sealed_after_its_last_message(world: World) -> None:
    async with running(world) as bus:
        call = bus.stub.ListUnits(pb.ListUnitsRequest(code_list_version="gso-2025-07"))
        codes = [message.units[0].code.code async for message in call]
        assert codes == ["01", "02", "03"]
        assert call.sealed
