"""A registered provider that cheats: `python -m bus.demo.dishonest --config FILE`.

It has keys and certificates as any provider, verifies nothing, and signs what it likes. How it cheats is told by the
end of the request's case id, so that each trick can be asked for:

    -honest     a sound answer, which it keeps
    -swapped    the kept answer, signed and sound, but to another request
    -altered    a sound header and signature over another body than it sends
    -unsigned   a body and nothing else
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from bus.exchange.config import ProviderConfig, load_provider_config  # isort: skip - before gRPC, see bus.exchange.tls

import grpc
from grpc import aio
from vn.administrative.v1 import administrative_pb2

from bus.exchange import metadata
from bus.exchange.compose import answer_of, compose_response, frames_of
from bus.exchange.tls import TlsWatch
from native.batch import sign_batch
from native.codec import decode_request_header
from native.digest import REQUEST_TYPE, RESPONSE_TYPE, header_digest
from pki.signer import FileSigner

__all__: list[str] = []

Pairs = tuple[tuple[str, bytes], ...]


class Cheat(grpc.GenericRpcHandler):
    """Answers every unary call."""

    def __init__(self, config: ProviderConfig) -> None:
        self._identity = config.identity.spiffe_id
        self._signer = FileSigner.load(config.identity.signing_key)
        self._kept: tuple[bytes, Pairs] | None = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """gRPC asks for each call."""
        return grpc.unary_unary_rpc_method_handler(self._answer)

    async def _answer(self, body: bytes, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        found = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, bytes)}
        request = found[metadata.REQUEST]
        trick = decode_request_header(request).case_id.rpartition("-")[2]
        message, pairs = self._answer_to(request, body)
        if trick == "honest":
            self._kept = message, pairs
        elif trick == "swapped" and self._kept:
            message, pairs = self._kept
        elif trick == "altered":
            message = administrative_pb2.ResolveUnitResponse().SerializeToString()
        elif trick == "unsigned":
            pairs = ()
        context.set_trailing_metadata(pairs)
        return message

    def _answer_to(self, request: bytes, body: bytes) -> tuple[bytes, Pairs]:
        """A sound answer, for whoever checks form and signature only."""
        asked = administrative_pb2.ResolveUnitRequest.FromString(body)
        unit = administrative_pb2.AdministrativeUnit(code=asked.code, name="invented")
        message = administrative_pb2.ResolveUnitResponse(unit=unit).SerializeToString()
        salt = os.urandom(metadata.SALT_BYTES)
        header = compose_response(
            header_digest(REQUEST_TYPE, request),
            self._identity,
            answer_of(frames_of(message), 0, b"", b""),
            salt,
            time.time_ns() // 1_000_000,
        )
        signature = sign_batch(self._signer, [(RESPONSE_TYPE, header)])[0]
        return message, (
            (metadata.RESPONSE, header),
            (metadata.RESPONSE_SIGNATURE, signature),
            (metadata.RESPONSE_SALT, salt),
        )


async def serve(config: ProviderConfig) -> None:
    """Until SIGTERM or SIGINT."""
    server = aio.server(handlers=(Cheat(config),))
    port = server.add_secure_port(config.listen, TlsWatch(config.identity.tls).server_credentials())
    await server.start()
    sys.stdout.write(f"serving on port {port}\n")
    sys.stdout.flush()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
    await server.stop(0.5)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A provider that cheats, for the demonstration.")
    parser.add_argument("--config", type=Path, required=True, help="the subsystem's file, see bus/exchange/config.py")
    asyncio.run(serve(load_provider_config(parser.parse_args().config)))


if __name__ == "__main__":
    main()
