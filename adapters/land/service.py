"""LandService: one parcel, or whether a person lives in a ward and on which parcel.

Whoever asks about a residence has to say the ward: nobody finds out an address here by asking with a number alone, and
that a person lives elsewhere is not told apart from that the register does not have them. Nor is it found out by trying
ward after ward.
"""

from __future__ import annotations

from adapters.caller import verified_caller  # isort: skip - first, before anything that imports gRPC

from collections.abc import Callable
from datetime import date

import grpc
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import Address
from vn.land.v1 import land_pb2 as pb
from vn.land.v1.land_pb2_grpc import LandServiceServicer

from adapters.administrative.table import CURRENT_LIST
from adapters.land.register import WARDS_A_DAY, Question, Register, TooManyWards
from adapters.refusals import Refusal, refuse
from adapters.source import Context

__all__ = ["Land"]

PARCEL_UNKNOWN = Refusal(
    grpc.StatusCode.NOT_FOUND, "PARCEL_UNKNOWN", "no parcel of the register has this number; check it on the map"
)
WARD_NOT_CURRENT = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "WARD_NOT_CURRENT",
    "the ward is not named in the current code list; resolve it at the administrative units first",
)
WARDS_TRIED = Refusal(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "WARDS_TRIED",
    f"{WARDS_A_DAY} other wards were named for this person today; ask the person for the address, or again tomorrow",
)


class Land(LandServiceServicer):
    """The servicer; `today` by UTC."""

    def __init__(self, register: Register, today: Callable[[], date]) -> None:
        self._register = register
        self._today = today

    async def GetParcel(self, request: pb.GetParcelRequest, context: Context) -> pb.GetParcelResponse:
        found = await self._register.parcel(context, request.parcel_id)
        if found is None:
            await refuse(context, PARCEL_UNKNOWN)
        ward = AdministrativeUnitCode(code_list_version=CURRENT_LIST, code=found["parcel_id"][:5])
        parcel = pb.Parcel(
            parcel_id=found["parcel_id"],
            address=Address(ward=ward, detail=found["address"]),
            area_dm2=found["area_dm2"],
            use=pb.LAND_USE_URBAN_RESIDENTIAL if found["urban"] else pb.LAND_USE_RURAL_RESIDENTIAL,
            holder_number=PersonNumber(value=found["holder"]),
        )
        return pb.GetParcelResponse(parcel=parcel)

    async def ProveResidence(self, request: pb.ProveResidenceRequest, context: Context) -> pb.ProveResidenceResponse:
        if request.ward.code_list_version != CURRENT_LIST:
            await refuse(context, WARD_NOT_CURRENT)
        client = verified_caller().path
        question = Question(client, request.person_number.value, request.ward.code, self._today())
        try:
            parcel_id = await self._register.residence(context, question)
        except TooManyWards:
            await refuse(context, WARDS_TRIED)
        return pb.ProveResidenceResponse(registered=bool(parcel_id), parcel_id=parcel_id)
