"""Reflection at the proxy: contracts of what the caller may call, for tools that ask the server what it has.

They come from a file, or from the bus's directory, one signed call a service. Where neither gives them the proxy serves
without: a tool that brings its own contract needs none of this.
"""

from collections.abc import Callable, Sequence

from bus.exchange import CallError  # isort: skip - before gRPC

from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_database import Error as DatabaseError
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from govbus.registry.v1 import directory_pb2
from grpc import aio
from grpc_reflection.v1alpha import reflection

from bus.cli.call_caller import Caller, provider_identity
from bus.cli.call_contract import GET_CONTRACT, directory_route
from bus.cli.output import Unable
from bus.exchange.channel import ChannelView

__all__ = ["fetch_contracts", "reflect"]


async def fetch_contracts(channel: ChannelView, caller: Caller, purpose: str, seconds: float) -> list[bytes]:
    """A FileDescriptorSet for each service that the caller may call; Unable where the directory gives none."""
    permitted = caller.permitted()
    route, purpose = directory_route(permitted, purpose)
    provider = provider_identity(caller, route.provider)
    view = channel.using(purpose=purpose, case_id="contracts", provider=provider, grant_id=route.grant)
    answer_type = directory_pb2.GetContractResponse
    ask = view.unary_unary(GET_CONTRACT, directory_pb2.GetContractRequest.SerializeToString, answer_type.FromString)
    try:
        services = sorted({one.method[1:].partition("/")[0] for one in permitted})
        found = [await ask(directory_pb2.GetContractRequest(service=name), timeout=seconds) for name in services]
    except CallError as error:
        raise Unable(f"the directory gave no contract: {error}") from error
    return [answer.file_descriptor_set for answer in found]


def reflect(images: Sequence[bytes], services: Sequence[str]) -> Callable[[aio.Server], None]:
    """What adds reflection over `services` to a server; Unable when an image is none, or two disagree on a file."""
    files = DescriptorDatabase()
    try:
        for image in images:
            for file in FileDescriptorSet.FromString(image).file:
                files.Add(file)
        pool = DescriptorPool(files)
        known = [name for name in services if _has(pool, name)]
    except (DecodeError, DatabaseError, TypeError, ValueError, RecursionError) as error:
        raise Unable("the contracts do not fit together; give one whole set with --descriptor-set FILE") from error
    return lambda server: reflection.enable_server_reflection((*known, reflection.SERVICE_NAME), server, pool)


def _has(pool: DescriptorPool, service: str) -> bool:
    try:
        pool.FindServiceByName(service)
    except KeyError:
        return False
    return True
