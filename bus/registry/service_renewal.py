"""RenewalService: certificate, signing key and snapshot for whoever asks, by signed calls (govbus.registry.v1).

Everything is for the client of the signed request, whoever carried it.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from govbus.registry.v1 import renewal_pb2 as pb
from govbus.registry.v1 import renewal_pb2_grpc as rpc

from bus.engines.postgres_database import DatabaseUnavailable
from bus.exchange import Reason
from bus.registry.enrolment import Enroller, EnrolmentRefused, KeyProof
from bus.registry.registry import Registry
from bus.registry.rotation import Rotator
from bus.registry.service_answers import caller, refuse
from bus.registry.service_snapshots import Known, Part, Published
from native.codec import CodecError
from native.snapshot import BROKER_SCOPE
from pki.identity import SubsystemId

__all__ = ["Renewal"]

LONGEST_WAIT_MS: Final = 240_000
_WAITS: Final = 16
"""Of one subsystem at a time, enough for its processes: what waits takes a call's place at broker and registry."""

_T = TypeVar("_T")


class Renewal(rpc.RenewalServiceServicer):
    """Stock servicer."""

    def __init__(
        self,
        registry: Registry,
        enroller: Enroller,
        rotator: Rotator,
        published: Published,
        renew: Callable[[str], None],
    ) -> None:
        """`renew`: has a scope's part made anew (bus.edge.publisher)."""
        self._registry, self._enroller, self._rotator, self._published = registry, enroller, rotator, published
        self._renew = renew
        self._waits: Counter[str] = Counter()

    async def Renew(self, request: pb.RenewRequest, context: Any) -> pb.RenewResponse:
        issued = await _refusing(context, lambda: asyncio.to_thread(self._enroller.renew, request.csr, caller()))
        return pb.RenewResponse(certificate_chain=issued.certificate.chain_pem, trust_bundle=self._enroller.trust_pem())

    async def Confirm(self, request: pb.ConfirmRequest, context: Any) -> pb.ConfirmResponse:
        return pb.ConfirmResponse()

    async def RotateKey(self, request: pb.RotateKeyRequest, context: Any) -> pb.RotateKeyResponse:
        proof = KeyProof(
            request.signing_key_spki,
            request.signing_key_not_before_ms,
            request.signing_key_not_after_ms,
            request.possession,
        )
        rotated = await _refusing(context, lambda: asyncio.to_thread(self._rotator.rotate, proof, caller()))
        return pb.RotateKeyResponse(starts_ms=rotated.starts_ms, former_end_ms=rotated.former_end_ms)

    async def GetSnapshot(self, request: pb.GetSnapshotRequest, context: Any) -> pb.GetSnapshotResponse:
        scope = self._scope(caller())
        try:
            found = await self._found(request, scope)
        except (OSError, CodecError):
            # Nothing is published for the caller yet: as if there were no such entry.
            refuse(context, Reason.ENTRY_UNKNOWN)
        return pb.GetSnapshotResponse(
            version=found.version,
            total_size=found.total_size,
            offset=found.offset,
            data=found.data,
            trust_bundle=found.trust,
            endpoints=found.endpoints,
        )

    async def _found(self, request: pb.GetSnapshotRequest, scope: str) -> Part:
        if request.offset:
            return await self._published.part(scope, request.version, request.offset)
        known = Known(request.known_version, request.known_trust_sha256, request.known_endpoints_sha256)
        path = caller().path
        wait_ms = min(max(request.wait_ms, 0), LONGEST_WAIT_MS) if self._waits[path] < _WAITS else 0
        self._waits[path] += 1
        try:
            if request.at_least_version > known.version:
                await self._published.as_of(scope, request.at_least_version, self._renew, wait_ms / 1000)
                wait_ms = 0
            return await self._published.newer(scope, known, wait_ms / 1000)
        finally:
            self._waits[path] -= 1

    def _scope(self, subsystem: SubsystemId) -> str:
        """A broker has the whole policy. What this process read last says who is one: the database may be down."""
        found = self._registry.newest.subsystems.get(subsystem.path)
        return BROKER_SCOPE if found is not None and found.is_broker else subsystem.spiffe_id


async def _refusing(context: Any, work: Callable[[], Awaitable[_T]]) -> _T:
    try:
        return await work()
    except EnrolmentRefused as refused:
        refuse(context, refused.reason)
    except DatabaseUnavailable:
        refuse(context, Reason.REGISTRY_UNAVAILABLE)
