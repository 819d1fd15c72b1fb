"""What stock generated code registers: `add_XServicer_to_server(servicer, server)` meets a registrar, not a server.

It keeps each method's function and its (de)serializers, which the runtime uses itself: gRPC below sees bytes only.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

__all__ = ["Registration", "ServedMethod", "collect_methods"]

Registration = tuple[Callable[[Any, Any], None], object]
"""A generated `add_XServicer_to_server` and the servicer to add."""


@dataclass(frozen=True, slots=True)
class ServedMethod:
    """One method of a servicer."""

    path: str
    function: Callable[..., Any]
    parse: Callable[[bytes], Any] | None
    serialize: Callable[[Any], bytes]
    client_stream: bool
    server_stream: bool
    coroutine: bool
    """Declared with `async def`, without `yield`."""


class _Registrar:
    """Stands where generated code expects a server."""

    def __init__(self) -> None:
        self.methods: dict[str, ServedMethod] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """The generated code says the same twice; the other way names the methods."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        for name, handler in handlers.items():
            path = f"/{service}/{name}"
            if path in self.methods:
                raise ValueError(f"{path} is served twice: register each service once")
            self.methods[path] = _served(path, handler)


def collect_methods(registrations: Iterable[Registration]) -> dict[str, ServedMethod]:
    """Every method of the servicers, by its path."""
    registrar = _Registrar()
    for add, servicer in registrations:
        add(servicer, registrar)
    if not registrar.methods:
        raise ValueError("no servicer is registered: pass [(add_XServicer_to_server, XServicer()), ...]")
    return registrar.methods


def _served(path: str, handler: Any) -> ServedMethod:
    client_stream, server_stream = bool(handler.request_streaming), bool(handler.response_streaming)
    function = handler.unary_stream if server_stream else handler.unary_unary
    if client_stream:
        function = handler.stream_stream or handler.stream_unary
    if server_stream and inspect.isgeneratorfunction(function):
        raise TypeError(f"{path} is a plain generator: make it `async def` with `yield`")
    return ServedMethod(
        path=path,
        function=function,
        parse=handler.request_deserializer,
        serialize=handler.response_serializer or bytes,
        client_stream=client_stream,
        server_stream=server_stream,
        coroutine=inspect.iscoroutinefunction(function),
    )
