"""LandService: one parcel, or whether a person lives in a ward and on which parcel.

Whoever asks about a residence has to say the ward: nobody finds out an address here by asking with a number alone, and
that a person lives elsewhere is not told apart from that the register does not have them.
"""

from __future__ import annotations

import grpc
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import Address
from vn.land.v1 import land_pb2 as pb
from vn.land.v1.land_pb2_grpc import LandServiceServicer

from adapters.administrative.table import CURRENT_LIST
from adapters.land.register import Register
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


class Land(LandServiceServicer):
    """The servicer."""

    def __init__(self, register: Register) -> None:
        self._register = register

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
        parcel_id = await self._register.parcel_of(context, request.person_number.value)
        registered = bool(parcel_id) and parcel_id[:5] == request.ward.code
        return pb.ProveResidenceResponse(registered=registered, parcel_id=parcel_id if registered else "")
