"""UNITS in a process of its own, to be killed: writes down each effect under its idempotency key, once.

    python -m tests.support.live_provider CONFIG EFFECTS

The file is its book, and one write is the transaction: as protocol.md 6 asks of a service whose effect must not happen
twice even if its process dies between the effect and the answer. What runs in one process is the runtime's to keep
apart, so within one process nothing is looked up.
"""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from adapters.runtime import serve_until_told  # isort: skip - before gRPC

from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.exchange import govbus_call
from tests.integration.world import Units

_PAUSE_S = 0.1


class Counting(Units):
    """Counts GetUnit; ListUnits goes on as long as its request says."""

    def __init__(self, effects: Path) -> None:
        self._before = set(effects.read_text().split()) if effects.exists() else set()
        self._file = os.open(effects, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def GetUnit(self, request: pb.GetUnitRequest, context: Any) -> pb.GetUnitResponse:
        key = govbus_call().idempotency_key
        if key not in self._before:
            os.write(self._file, f"{key}\n".encode())
        return await super().GetUnit(request, context)

    async def ListUnits(self, request: pb.ListUnitsRequest, context: Any) -> AsyncIterator[pb.ListUnitsResponse]:
        for _ in range(int(request.within_code)) if request.within_code else itertools.count():
            async for answer in super().ListUnits(request, context):
                yield answer
                await asyncio.sleep(_PAUSE_S)


if __name__ == "__main__":
    registration = rpc.add_AdministrativeUnitServiceServicer_to_server, Counting(Path(sys.argv[2]))
    asyncio.run(serve_until_told(Path(sys.argv[1]), registration))
