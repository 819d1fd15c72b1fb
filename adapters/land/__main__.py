"""`python -m adapters.land --config FILE --database FILE`: serve synthetic parcels until told to stop.

At the first start the parcels of the population of the seed are made and stored; later starts find them.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    load_database,
    program,
    serve_until_told,
)

import asyncio
from datetime import UTC, datetime

from vn.land.v1.land_pb2_grpc import add_LandServiceServicer_to_server

from adapters.land.register import Register
from adapters.land.service import Land
from adapters.seeded import seeded_parser


def main(arguments: list[str]) -> int:
    given = seeded_parser("Serve a register of synthetic parcels.").parse_args(arguments)
    register = Register(load_database(given.database), given.seed, given.people)
    servicer = (add_LandServiceServicer_to_server, Land(register, lambda: datetime.now(UTC).date()))
    asyncio.run(serve_until_told(given.config, servicer, source=register))
    return 0


if __name__ == "__main__":
    program(main)
