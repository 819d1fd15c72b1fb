"""BusinessService: an enterprise by its tax code, its state alone, or a search."""

from __future__ import annotations

from typing import Final

import grpc
from vn.business.v1 import business_pb2 as pb
from vn.business.v1.business_pb2_grpc import BusinessServiceServicer
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, TaxCode
from vn.common.v1.person_pb2 import Address

from adapters.administrative.table import CURRENT_LIST
from adapters.business.generate import EnterpriseRecord, Status
from adapters.business.register import Register
from adapters.refusals import Refusal, refuse
from adapters.source import Context

__all__ = ["Business"]

ENTERPRISE_UNKNOWN = Refusal(
    grpc.StatusCode.NOT_FOUND,
    "ENTERPRISE_UNKNOWN",
    "no enterprise of the register has this tax code; check it, branches have none of their own here",
)


_STATES: Final = {
    Status.OPERATING: pb.ENTERPRISE_STATUS_OPERATING,
    Status.SUSPENDED: pb.ENTERPRISE_STATUS_SUSPENDED,
    Status.DISSOLVING: pb.ENTERPRISE_STATUS_DISSOLVING,
    Status.DISSOLVED: pb.ENTERPRISE_STATUS_DISSOLVED,
}


class Business(BusinessServiceServicer):
    """The servicer."""

    def __init__(self, register: Register) -> None:
        self._register = register

    async def GetEnterprise(self, request: pb.GetEnterpriseRequest, context: Context) -> pb.GetEnterpriseResponse:
        found = await self._enterprise(request.tax_code, context)
        answer = pb.GetEnterpriseResponse()
        answer.enterprise.SetInParent()
        request.read_mask.MergeMessage(_message(found), answer.enterprise)
        return answer

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        found = await self._enterprise(request.tax_code, context)
        return pb.GetStatusResponse(status=_STATES[found.status])

    async def FindEnterprises(self, request: pb.FindEnterprisesRequest, context: Context) -> pb.FindEnterprisesResponse:
        page = await self._register.found(
            context, request.province_code, request.status, request.page_size, request.page_token
        )
        enterprises = [
            pb.Enterprise(tax_code=TaxCode(base=row["tax_code"]), name=row["name"], status=_STATES[row["status"]])
            for row in page.rows
        ]
        return pb.FindEnterprisesResponse(enterprises=enterprises, next_page_token=page.next_token)

    async def _enterprise(self, tax_code: TaxCode, context: Context) -> EnterpriseRecord:
        found = None if tax_code.branch else await self._register.enterprise(context, tax_code.base)
        if found is None:
            await refuse(context, ENTERPRISE_UNKNOWN)
        return found


def _message(found: EnterpriseRecord) -> pb.Enterprise:
    ward = AdministrativeUnitCode(code_list_version=CURRENT_LIST, code=found.ward)
    return pb.Enterprise(
        tax_code=TaxCode(base=found.tax_code),
        name=found.name,
        status=_STATES[found.status],
        head_office=Address(ward=ward, detail=found.address),
        founded_year=found.founded,
    )
