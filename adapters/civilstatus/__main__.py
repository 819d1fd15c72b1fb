"""`python -m adapters.civilstatus --config FILE --database FILE`: keep the book of births until told to stop.

The file needs both parts: `provider`, to serve, and `client`, with grants for the administrative units and population
that are given for the purpose civil.birth.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    argument_parser,
    asking_for,
    calling,
    load_database,
    program,
    serve_until_told,
)

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from vn.civilstatus.v1.civilstatus_pb2_grpc import add_CivilStatusServiceServicer_to_server

from adapters.civilstatus.book import BirthBook
from adapters.civilstatus.registers import Registers
from adapters.civilstatus.service import CivilStatus

PURPOSE = "civil.birth"  # what its grants at the other registers are for


def main(arguments: list[str]) -> int:
    given = argument_parser("Keep the book of births.").parse_args(arguments)
    asyncio.run(_serve(given.config, BirthBook(load_database(given.database))))
    return 0


async def _serve(config: Path, book: BirthBook) -> None:
    async with calling(config) as channel:
        servicer = CivilStatus(book, Registers.on(channel), asking_for(PURPOSE), lambda: datetime.now(UTC))
        await serve_until_told(config, (add_CivilStatusServiceServicer_to_server, servicer), source=book)


if __name__ == "__main__":
    program(main)
