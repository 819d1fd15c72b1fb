"""`python -m adapters.store --config FILE --database FILE`: keep records until told to stop."""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    argument_parser,
    load_database,
    program,
    serve_until_told,
)

import asyncio
from datetime import UTC, datetime

from vn.store.v1.store_pb2_grpc import add_StoreServiceServicer_to_server

from adapters.caller import verified_caller
from adapters.store.records import Records
from adapters.store.service import Store


def main(arguments: list[str]) -> int:
    given = argument_parser("Keep records of other registers.").parse_args(arguments)
    records = Records(load_database(given.database))
    servicer = Store(records, verified_caller, lambda: datetime.now(UTC))
    asyncio.run(serve_until_told(given.config, (add_StoreServiceServicer_to_server, servicer), source=records))
    return 0


if __name__ == "__main__":
    program(main)
