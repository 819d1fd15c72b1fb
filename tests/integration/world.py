"""A nation that really runs: instance, the gate in Envoy, a provider and a client under the bus's runtimes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bus.exchange import CallEvidence, connect, load_client_config, load_provider_config, serve  # isort: skip - before gRPC

import grpc
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc
from vn.common.v1 import identifiers_pb2

from bus.edge.instance import Instance, make_instance
from bus.edge.nation import GrantPlan, Nation, SubsystemPlan, contract_image
from bus.engines.broker import Broker
from bus.exchange.channel import Channel, ChannelView

BROKER = "gov/ndc/broker-1"
UNITS = "gov/moha/units"
CALLER = "gov/moj/civil-status"
PURPOSE = "civil.birth"
CODE_LIST = "gso-2025-07"


def nation() -> Nation:
    """CALLER may ask UNITS anything, for one purpose."""
    return Nation(
        trust_domain="bus.test.example",
        brokers=(SubsystemPlan(BROKER),),
        subsystems=(SubsystemPlan(UNITS, serves=True), SubsystemPlan(CALLER)),
        grants=(
            GrantPlan("grant-1", CALLER, UNITS, ("/vn.administrative.v1.AdministrativeUnitService/*",), (PURPOSE,)),
        ),
        contracts=contract_image([pb.DESCRIPTOR]),
    )


def ask(code: str = "01") -> pb.GetUnitRequest:
    """A request that keeps its contract's rules."""
    return pb.GetUnitRequest(code=identifiers_pb2.AdministrativeUnitCode(code=code, code_list_version=CODE_LIST))


class Units(rpc.AdministrativeUnitServiceServicer):
    """Answers every code but 99."""

    async def GetUnit(self, request: pb.GetUnitRequest, context: Any) -> pb.GetUnitResponse:
        if request.code.code == "99":
            await context.abort(grpc.StatusCode.NOT_FOUND, "")
        return pb.GetUnitResponse(unit=_unit(request.code))

    async def ResolveUnit(self, request: pb.ResolveUnitRequest, context: Any) -> pb.ResolveUnitResponse:
        return pb.ResolveUnitResponse(unit=_unit(request.code))

    async def ListUnits(self, request: pb.ListUnitsRequest, context: Any) -> AsyncIterator[pb.ListUnitsResponse]:
        for code in ("01", "02", "03"):
            found = identifiers_pb2.AdministrativeUnitCode(code=code, code_list_version=CODE_LIST)
            yield pb.ListUnitsResponse(units=[_unit(found)])


def _unit(code: identifiers_pb2.AdministrativeUnitCode) -> pb.AdministrativeUnit:
    return pb.AdministrativeUnit(
        code=code, name="Thành phố Hà Nội", level=pb.UNIT_LEVEL_PROVINCE, province_code=code.code
    )


@dataclass
class Running:
    """What a test talks to."""

    instance: Instance
    broker: Broker
    channel: Channel
    evidence: list[CallEvidence] = field(default_factory=list)

    @property
    def view(self) -> ChannelView:
        """The channel with what every call must say; evidence is collected."""
        return self.channel.using(purpose=PURPOSE, case_id="case-a1", on_evidence=self.evidence.append)

    @property
    def units(self) -> "rpc.AdministrativeUnitServiceAsyncStub":
        """A stock stub."""
        return rpc.AdministrativeUnitServiceStub(self.view)


@asynccontextmanager
async def running(state: Path, *, serving: bool = True) -> AsyncIterator[Running]:
    """Make the instance and start broker and provider (unless not `serving`); everything is gone afterwards."""
    instance = make_instance(state, nation(), now=datetime.now(UTC))
    server = serve(
        load_provider_config(instance.config(UNITS)),
        [(rpc.add_AdministrativeUnitServiceServicer_to_server, Units())],
    )
    if serving:
        await server.start()
    try:
        with Broker(instance.broker_home(BROKER)) as broker:
            async with connect(load_client_config(instance.config(CALLER))) as channel:
                yield Running(instance, broker, channel)
    finally:
        if serving:
            await server.stop()
