"""Where `govbus call` has a contract from: a file, the installation, or the directory of the bus.

1. `--descriptor-set` names a FileDescriptorSet (`buf build -o`), for whoever has no grant for the directory.
2. The bus's own services come with the installation: the directory can be asked before anything is known.
3. Everything else is asked of DirectoryService.GetContract, a signed call like any other, under its own grant.

A contract only says how JSON becomes bytes. It is read into a pool of its own, so that it cannot change what this
process knows already.
"""

from collections.abc import Sequence
from typing import Final

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_database import Error as DatabaseError
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default, DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from govbus.registry.v1 import admin_pb2, directory_pb2, renewal_pb2

from bus.cli.call_caller import NotPermitted, Permitted
from bus.cli.output import Unable

__all__ = ["GET_CONTRACT", "MethodName", "contract_in", "directory_route", "installed_contract", "verify_callable"]

GET_CONTRACT: Final = "/govbus.registry.v1.DirectoryService/GetContract"
_INSTALLED: Final = {
    service.full_name
    for module in (admin_pb2, directory_pb2, renewal_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}


class MethodName:
    """`package.Service/Method`, a slash in front allowed."""

    __slots__ = ("method", "service")

    def __init__(self, text: str) -> None:
        self.service, slash, self.method = text.removeprefix("/").partition("/")
        if not slash or not all((*self.service.split("."), self.method.isidentifier())) or not text.isascii():
            raise Unable("write a method as package.Service/Method; see --list")

    @property
    def path(self) -> str:
        """As it travels."""
        return f"/{self.service}/{self.method}"


def installed_contract(name: MethodName) -> MethodDescriptor | None:
    """A method of the bus's own; None for a member's service."""
    return _method(Default(), name) if name.service in _INSTALLED else None


def contract_in(image: bytes, name: MethodName, source: str) -> MethodDescriptor:
    """The method in a FileDescriptorSet; Unable when the set is none, is incomplete or does not have it."""
    files = DescriptorDatabase()
    try:
        for file in FileDescriptorSet.FromString(image).file:
            files.Add(file)
        return _method(DescriptorPool(files), name)
    except (DecodeError, DatabaseError, TypeError, ValueError, RecursionError) as error:
        raise Unable(
            f"{source} is no whole FileDescriptorSet; make one with `buf build -o`, imports included"
        ) from error


def directory_route(permitted: Sequence[Permitted], purpose: str) -> tuple[Permitted, str]:
    """Under which grant and for which purpose the directory is asked: the call's own purpose, or the only one."""
    found = [(one, each) for one in permitted if one.method == GET_CONTRACT for each in one.purposes]
    same = [pair for pair in found if pair[1] == purpose]
    if len(same or found) >= 1 and (same or len({each for _, each in found}) == 1):
        return (same or found)[0]
    if found:
        said = " or ".join(sorted({each for _, each in found}))
        raise Unable(f"the directory may be asked for {said}, not for this purpose; give --descriptor-set FILE")
    raise NotPermitted(
        "this subsystem has no grant for the directory, which keeps the contracts; give --descriptor-set FILE,"
        f" or ask the operator for a grant for {GET_CONTRACT}"
    )


def verify_callable(method: MethodDescriptor) -> MethodDescriptor:
    """The method, unless it streams from the client, which the bus refuses."""
    if method.client_streaming:
        raise Unable("the bus carries no stream from a client (STREAM_NOT_SUPPORTED); call the method's unary form")
    GetMessageClass(method.input_type)  # made here, so that nested types have theirs too
    GetMessageClass(method.output_type)
    return method


def _method(pool: DescriptorPool, name: MethodName) -> MethodDescriptor:
    try:
        service = pool.FindServiceByName(name.service)
    except KeyError:
        raise Unable(f"the contract has no service {name.service}") from None
    found = service.methods_by_name.get(name.method)
    if found is None:
        raise Unable(f"{name.service} has no {name.method}; it has {', '.join(sorted(service.methods_by_name))}")
    return verify_callable(found)
