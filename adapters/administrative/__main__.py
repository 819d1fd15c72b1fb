"""`python -m adapters.administrative --config FILE --database FILE`: serve the administrative units until told to stop.

At the first start the real lists that come with the program are loaded.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    argument_parser,
    load_database,
    program,
    serve_until_told,
)

import asyncio

from vn.administrative.v1.administrative_pb2_grpc import add_AdministrativeUnitServiceServicer_to_server

from adapters.administrative.service import AdministrativeUnits
from adapters.administrative.store import open_units


def main(arguments: list[str]) -> int:
    given = argument_parser("Serve the administrative units of Viet Nam.").parse_args(arguments)
    store = open_units(load_database(given.database))
    servicer = (add_AdministrativeUnitServiceServicer_to_server, AdministrativeUnits(store))
    asyncio.run(serve_until_told(given.config, servicer, source=store))
    return 0


if __name__ == "__main__":
    program(main)
