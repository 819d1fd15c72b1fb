"""The two servers that `benchmarks.sdk` measures: the same stock servicer, through `serve` and through bare grpc.aio.

Run as a process of its own: `python -m benchmarks.sdk_servers {govbus,bare} HOME`. The bare one has the same keys, TLS
settings and messages, demands a client certificate, and does nothing else. Each prints its port when it listens.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from bus.exchange import load_provider_config, serve  # before grpc: it fixes TLS 1.3

# ruff: isort: split
import grpc
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1.administrative_pb2_grpc import (
    AdministrativeUnitServiceServicer,
    add_AdministrativeUnitServiceServicer_to_server,
)
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode

CODE = AdministrativeUnitCode(code_list_version="gso-2025-06", code="00001")
_ANSWER = pb.GetUnitResponse(
    unit=pb.AdministrativeUnit(code=CODE, name="Ba Dinh", level=pb.UNIT_LEVEL_WARD, province_code="01")
)


class _Units(AdministrativeUnitServiceServicer):
    """Answers the same unit to everybody, so that only the runtimes are measured."""

    async def GetUnit(self, request: pb.GetUnitRequest, context: Any) -> pb.GetUnitResponse:
        return _ANSWER

    async def ResolveUnit(self, request: pb.ResolveUnitRequest, context: Any) -> pb.ResolveUnitResponse:
        raise NotImplementedError

    def ListUnits(self, request: pb.ListUnitsRequest, context: Any) -> AsyncIterator[pb.ListUnitsResponse]:
        raise NotImplementedError


async def _serve_govbus(home: Path) -> None:
    server = serve(
        load_provider_config(home / "config.yaml"), [(add_AdministrativeUnitServiceServicer_to_server, _Units())]
    )
    print(await server.start(), flush=True)
    await server.run()


async def _serve_bare(home: Path) -> None:
    key, chain = (home / "tls" / name for name in ("key.pem", "chain.pem"))
    credentials = grpc.ssl_server_credentials(
        [(key.read_bytes(), chain.read_bytes())], (home / "trust.pem").read_bytes(), require_client_auth=True
    )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_AdministrativeUnitServiceServicer_to_server(_Units(), server)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run({"govbus": _serve_govbus, "bare": _serve_bare}[sys.argv[1]](Path(sys.argv[2])))
