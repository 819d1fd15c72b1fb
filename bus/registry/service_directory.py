"""DirectoryService: who takes part, what they offer, and the contracts to build against (govbus.registry.v1).

Read-only, from one state per answer. Endpoints, keys, certificates and grants are not told. Pages are cut on a thread,
each by one walk over what it lists: whoever leafs through a country keeps nobody else waiting.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from govbus.registry.v1 import directory_pb2 as pb
from govbus.registry.v1 import directory_pb2_grpc as rpc

from bus.exchange import Reason
from bus.registry.registry import Registry
from bus.registry.service_answers import page_of, refuse
from bus.registry.state import RegistryState, SubsystemEntry

__all__ = ["Directory"]

Q = TypeVar("Q")
R = TypeVar("R")


class Directory(rpc.DirectoryServiceServicer):
    """Stock servicer; who may call what is the grants' matter."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ListMembers(self, request: pb.ListMembersRequest, context: Any) -> pb.ListMembersResponse:
        return await self._cut(_members, request)

    async def ListSubsystems(self, request: pb.ListSubsystemsRequest, context: Any) -> pb.ListSubsystemsResponse:
        found = await self._cut(_subsystems, request)
        if found is None:
            refuse(context, Reason.ENTRY_UNKNOWN)
        return found

    async def ListServices(self, request: pb.ListServicesRequest, context: Any) -> pb.ListServicesResponse:
        return await self._cut(_services, request)

    async def GetContract(self, request: pb.GetContractRequest, context: Any) -> pb.GetContractResponse:
        found = (await asyncio.to_thread(self._registry.state)).services.get(request.service)
        if found is None:
            refuse(context, Reason.ENTRY_UNKNOWN)
        image = await asyncio.to_thread(self._registry.attachment, found.image)
        return pb.GetContractResponse(file_descriptor_set=image)

    async def _cut(self, page: Callable[[RegistryState, Q], R], request: Q) -> R:
        return await asyncio.to_thread(lambda: page(self._registry.state(), request))


def _members(state: RegistryState, request: pb.ListMembersRequest) -> pb.ListMembersResponse:
    paths, token = page_of(state.members, request.page_size, request.page_token)
    members = [
        pb.Member(path=path, name_vi=one.name_vi, name_en=one.name_en, active=one.suspended_ms is None)
        for path in paths
        for one in (state.members[path],)
    ]
    return pb.ListMembersResponse(members=members, next_page_token=token, log_position=state.position)


def _subsystems(state: RegistryState, request: pb.ListSubsystemsRequest) -> pb.ListSubsystemsResponse | None:
    """None for a member that there is not."""
    if request.member and request.member not in state.members:
        return None
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


def _services(state: RegistryState, request: pb.ListServicesRequest) -> pb.ListServicesResponse:
    names, token = page_of(state.services, request.page_size, request.page_token)
    providers: defaultdict[str, list[str]] = defaultdict(list)
    for path, each in state.subsystems.items():
        for service in each.services:
            providers[service].append(path)
    services = [
        pb.Service(
            name=name,
            contract_sha256=one.image,
            methods=[method.path for method in one.methods],
            providers=sorted(providers[name]),
        )
        for name in names
        for one in (state.services[name],)
    ]
    return pb.ListServicesResponse(services=services, next_page_token=token, log_position=state.position)


def _active(state: RegistryState, one: SubsystemEntry) -> bool:
    return one.suspended_ms is None and one.revoked_ms is None and state.members[one.member].suspended_ms is None
