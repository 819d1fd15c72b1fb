"""`python -m adapters.business --config FILE --database FILE`: serve synthetic enterprises until told to stop.

At the first start the enterprises of the seed are made and stored; later starts find them.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    load_database,
    program,
    serve_until_told,
)

import asyncio

from vn.business.v1.business_pb2_grpc import add_BusinessServiceServicer_to_server

from adapters.business.register import Register
from adapters.business.service import Business
from adapters.seeded import seeded_parser


def main(arguments: list[str]) -> int:
    given = seeded_parser("Serve a register of synthetic enterprises.").parse_args(arguments)
    register = Register(load_database(given.database), given.seed, given.people)
    asyncio.run(
        serve_until_told(given.config, (add_BusinessServiceServicer_to_server, Business(register)), source=register)
    )
    return 0


if __name__ == "__main__":
    program(main)
