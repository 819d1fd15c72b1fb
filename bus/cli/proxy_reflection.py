"""Reflection at the proxy: contracts of what the caller may call, for tools that ask the server what it has.

They come from a file, or from the bus's directory (contract_fetch). Where neither gives them the proxy serves without:
a tool that brings its own contract needs none of this.
"""

from collections.abc import Callable, Sequence
from typing import Any

from bus.cli.output import Unable  # isort: skip - before gRPC

from google.protobuf.descriptor_database import DescriptorDatabase
from google.protobuf.descriptor_database import Error as DatabaseError
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from grpc import aio
from grpc_reflection.v1alpha import reflection

__all__ = ["reflect"]


def reflect(image: bytes, services: Sequence[str]) -> Callable[[aio.Server], None]:
    """What adds reflection over `services` to a server; Unable when the image is no whole FileDescriptorSet."""
    files = DescriptorDatabase()
    try:
        for file in FileDescriptorSet.FromString(image).file:
            files.Add(file)
        pool = DescriptorPool(files)
        known = [name for name in services if _has(pool, name)]
    except (DecodeError, DatabaseError, TypeError, ValueError, RecursionError) as error:
        raise Unable("the contracts are no whole FileDescriptorSet; make one with `buf build -o`") from error
    return lambda server: reflection.enable_server_reflection((*known, reflection.SERVICE_NAME), server, _Pool(pool))


class _Pool:
    """A pool as reflection asks it: of `package.Service.Method`, whose file it does not know itself, its parent's."""

    def __init__(self, pool: DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        while True:
            try:
                return self._pool.FindFileContainingSymbol(symbol)
            except (KeyError, TypeError):  # the latter when it would read a file twice to find the symbol
                symbol, dot, _ = symbol.rpartition(".")
                if not dot:
                    raise KeyError from None


def _has(pool: DescriptorPool, service: str) -> bool:
    try:
        pool.FindServiceByName(service)
    except KeyError:
        return False
    return True
