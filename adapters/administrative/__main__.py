"""`python -m adapters.administrative --config FILE`: serve the administrative units until told to stop."""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    argument_parser,
    program,
    serve_until_told,
)

import asyncio

from vn.administrative.v1.administrative_pb2_grpc import add_AdministrativeUnitServiceServicer_to_server

from adapters.administrative.service import AdministrativeUnits
from adapters.administrative.table import load_table


def main(arguments: list[str]) -> int:
    given = argument_parser("Serve the administrative units of Viet Nam.", with_state=False).parse_args(arguments)
    servicer = AdministrativeUnits(load_table())
    asyncio.run(serve_until_told(given.config, (add_AdministrativeUnitServiceServicer_to_server, servicer)))
    return 0


if __name__ == "__main__":
    program(main)
