"""RenewalService: a new TLS certificate for whoever asks, by a signed call like any other (govbus.registry.v1)."""

import asyncio
from typing import Any

from govbus.registry.v1 import renewal_pb2 as pb
from govbus.registry.v1 import renewal_pb2_grpc as rpc

from bus.registry.enrolment import Enroller, EnrolmentRefused
from bus.registry.service_answers import caller, refuse

__all__ = ["Renewal"]


class Renewal(rpc.RenewalServiceServicer):
    """Stock servicer. The certificate is for the client of the signed request, whoever carried it."""

    def __init__(self, enroller: Enroller) -> None:
        self._enroller = enroller

    async def Renew(self, request: pb.RenewRequest, context: Any) -> pb.RenewResponse:
        try:
            issued = await asyncio.to_thread(self._enroller.renew, request.csr, caller())
        except EnrolmentRefused as refused:
            refuse(context, refused.reason)
        return pb.RenewResponse(certificate_chain=issued.certificate.chain_pem, trust_bundle=self._enroller.trust_pem())

    async def Confirm(self, request: pb.ConfirmRequest, context: Any) -> pb.ConfirmResponse:
        return pb.ConfirmResponse()
