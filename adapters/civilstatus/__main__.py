"""`python -m adapters.civilstatus --config FILE --database FILE`: keep the book of births until told to stop.

The file needs both parts: `provider`, to serve, and `client`, with grants for the administrative units, population and
the central store that are given for the purpose civil.birth. Several may run, each with a database of its own: that of
a ministry, that of a province.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    argument_parser,
    asking_in,
    calling,
    case_served,
    load_database,
    own_path,
    program,
    serve_until_told,
)

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from vn.civilstatus.v1.civilstatus_pb2_grpc import add_CivilStatusServiceServicer_to_server
from vn.store.v1.store_pb2_grpc import StoreServiceStub

from adapters.civilstatus.book import BirthBook
from adapters.civilstatus.deposits import Deposits
from adapters.civilstatus.registers import Registers
from adapters.civilstatus.service import CivilStatus

PURPOSE = "civil.birth"  # what its grants at the other registers are for


def main(arguments: list[str]) -> int:
    given = argument_parser("Keep the book of births.").parse_args(arguments)
    asyncio.run(_serve(given.config, BirthBook(load_database(given.database), own_path(given.config))))
    return 0


async def _serve(config: Path, book: BirthBook) -> None:
    async with calling(config) as channel:
        scope = asking_in(PURPOSE)
        servicer = CivilStatus(book, Registers.on(channel), case_served, scope, lambda: datetime.now(UTC))
        deposits = Deposits(book, StoreServiceStub(channel), scope)
        await serve_until_told(config, (add_CivilStatusServiceServicer_to_server, servicer), source=deposits)


if __name__ == "__main__":
    program(main)
