"""Methods out of contracts: a FileDescriptorSet (`buf build -o`, `protoc -o`) -> the methods of its services.

Idempotence and lifetime come from the contract's own options (vn.options.v1); a method that states no lifetime gets the
bus's default.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto
from google.protobuf.message import DecodeError
from vn.options.v1 import options_pb2

from native.policy import Method, MethodKind

__all__ = ["DEFAULT_LIFETIME_MS", "DescriptorError", "methods_of"]

DEFAULT_LIFETIME_MS = 60_000
_MAX_LIFETIME_MS = 300_000


class DescriptorError(ValueError):
    """The file holds no usable contract; the text says what to build."""


def methods_of(image: bytes) -> list[Method]:
    """Every method of every service in the set, in the order of the file."""
    try:
        files = FileDescriptorSet.FromString(image)
    except DecodeError as error:
        raise DescriptorError("expected a FileDescriptorSet; make one with `buf build -o FILE.binpb`") from error
    found = [
        _method(f"/{file.package}.{service.name}/{method.name}", method)
        for file in files.file
        for service in file.service
        for method in service.method
    ]
    if not found:
        raise DescriptorError("no service in this file; build the image of the contract that has the service")
    return found


def _method(path: str, method: MethodDescriptorProto) -> Method:
    options: Any = method.options.Extensions  # the generated stubs do not know an extension's type
    lifetime = int(options[options_pb2.max_lifetime_ms]) or DEFAULT_LIFETIME_MS
    if not 1 <= lifetime <= _MAX_LIFETIME_MS:
        raise DescriptorError(f"{path} states a lifetime outside 1 ms to 5 min; correct the contract")
    kind = MethodKind.SERVER_STREAM if method.server_streaming else MethodKind.UNARY
    if method.client_streaming:
        kind = MethodKind.CLIENT_STREAM
    return Method(path, kind, lifetime, bool(options[options_pb2.idempotent]))
