"""DirectoryService: who takes part, what they offer, and the contracts to build against (govbus.registry.v1).

Read-only, from one state per answer. Endpoints, keys, certificates and grants are not told.
"""

import asyncio
from typing import Any

from govbus.registry.v1 import directory_pb2 as pb
from govbus.registry.v1 import directory_pb2_grpc as rpc

from bus.exchange import Reason
from bus.registry.registry import Registry
from bus.registry.service_answers import page_of, refuse
from bus.registry.state import RegistryState, SubsystemEntry

__all__ = ["Directory"]


class Directory(rpc.DirectoryServiceServicer):
    """Stock servicer; who may call what is the grants' matter."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ListMembers(self, request: pb.ListMembersRequest, context: Any) -> pb.ListMembersResponse:
        state = await self._state()
        paths, token = page_of(state.members, request.page_size, request.page_token)
        members = [
            pb.Member(path=path, name_vi=one.name_vi, name_en=one.name_en, active=one.suspended_ms is None)
            for path in paths
            for one in (state.members[path],)
        ]
        return pb.ListMembersResponse(members=members, next_page_token=token, log_position=state.position)

    async def ListSubsystems(self, request: pb.ListSubsystemsRequest, context: Any) -> pb.ListSubsystemsResponse:
        state = await self._state()
        if request.member and request.member not in state.members:
            refuse(context, Reason.ENTRY_UNKNOWN)
        wanted = (path for path, one in state.subsystems.items() if not request.member or one.member == request.member)
        paths, token = page_of(wanted, request.page_size, request.page_token)
        subsystems = [
            pb.Subsystem(
                path=path,
                identity=one.identity.spiffe_id,
                active=_active(state, one),
                broker=one.is_broker,
                services=one.services,
            )
            for path in paths
            for one in (state.subsystems[path],)
        ]
        return pb.ListSubsystemsResponse(subsystems=subsystems, next_page_token=token, log_position=state.position)

    async def ListServices(self, request: pb.ListServicesRequest, context: Any) -> pb.ListServicesResponse:
        state = await self._state()
        names, token = page_of(state.services, request.page_size, request.page_token)
        services = [
            pb.Service(
                name=name,
                contract_sha256=one.image,
                methods=[method.path for method in one.methods],
                providers=sorted(path for path, each in state.subsystems.items() if name in each.services),
            )
            for name in names
            for one in (state.services[name],)
        ]
        return pb.ListServicesResponse(services=services, next_page_token=token, log_position=state.position)

    async def GetContract(self, request: pb.GetContractRequest, context: Any) -> pb.GetContractResponse:
        found = (await self._state()).services.get(request.service)
        if found is None:
            refuse(context, Reason.ENTRY_UNKNOWN)
        image = await asyncio.to_thread(self._registry.attachment, found.image)
        return pb.GetContractResponse(file_descriptor_set=image)

    async def _state(self) -> RegistryState:
        return await asyncio.to_thread(self._registry.state)


def _active(state: RegistryState, one: SubsystemEntry) -> bool:
    return one.suspended_ms is None and one.revoked_ms is None and state.members[one.member].suspended_ms is None
