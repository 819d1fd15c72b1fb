"""Contracts as the bus's directory keeps them: one signed call for each service that the caller may call."""

from collections.abc import Sequence

from bus.exchange import CallError  # isort: skip - before gRPC

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError
from govbus.registry.v1 import directory_pb2

from bus.cli.call_caller import Caller, provider_identity
from bus.cli.call_contract import GET_CONTRACT, directory_route
from bus.cli.output import Unable
from bus.exchange.channel import ChannelView

__all__ = ["callable_services", "fetch_contracts", "join_contracts"]


def callable_services(caller: Caller) -> list[str]:
    """Full names of the services of which the caller may call a method now."""
    return sorted({one.method[1:].partition("/")[0] for one in caller.permitted()})


async def fetch_contracts(
    channel: ChannelView, caller: Caller, services: Sequence[str], purpose: str, seconds: float
) -> bytes:
    """One FileDescriptorSet with the contracts of `services`; Unable where the directory does not give them."""
    route, purpose = directory_route(caller.permitted(), purpose)
    provider = provider_identity(caller, route.provider)
    view = channel.using(purpose=purpose, case_id="contracts", provider=provider, grant_id=route.grant)
    answer_type = directory_pb2.GetContractResponse
    ask = view.unary_unary(GET_CONTRACT, directory_pb2.GetContractRequest.SerializeToString, answer_type.FromString)
    try:
        found = [await ask(directory_pb2.GetContractRequest(service=name), timeout=seconds) for name in services]
    except CallError as error:
        raise Unable(f"the directory gave no contract: {error}") from error
    return join_contracts([answer.file_descriptor_set for answer in found])


def join_contracts(images: Sequence[bytes]) -> bytes:
    """One set of all files, imports before what imports them; Unable when two disagree about a file.

    protobuf's own files come with every language's runtime: which edition a contract was compiled beside says nothing.
    Neither do comments, which some compilers leave out.
    """
    joined, known = FileDescriptorSet(), dict[str, bytes]()
    for image in images:
        try:
            files = FileDescriptorSet.FromString(image).file
        except DecodeError as error:
            raise Unable("the directory keeps a contract that does not parse; tell the operator") from error
        for file in files:
            said = FileDescriptorProto.FromString(file.SerializeToString())
            said.ClearField("source_code_info")
            data = b"" if file.name.startswith("google/protobuf/") else said.SerializeToString(deterministic=True)
            if known.setdefault(file.name, data) != data:
                raise Unable(
                    f"two contracts bring different versions of {file.name}; name the services that you want together"
                )
            if len(known) > len(joined.file):
                joined.file.append(file)
    return joined.SerializeToString(deterministic=True)
