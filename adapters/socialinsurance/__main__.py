"""`python -m adapters.socialinsurance --config FILE --database FILE`: serve the insured until told to stop.

The file needs both parts: `provider`, to serve, and `client`, with grants for population and the business register that
are given for the purpose insurance.birth. At the first start the employments of the seed are made and stored.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    asking_for,
    calling,
    load_database,
    program,
    serve_until_told,
)

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from vn.socialinsurance.v1.socialinsurance_pb2_grpc import add_SocialInsuranceServiceServicer_to_server

from adapters.seeded import seeded_parser
from adapters.socialinsurance.book import Book
from adapters.socialinsurance.registers import Registers
from adapters.socialinsurance.service import SocialInsurance

PURPOSE = "insurance.birth"  # what its grants at the other registers are for


def main(arguments: list[str]) -> int:
    given = seeded_parser("Serve synthetic insured people.").parse_args(arguments)
    asyncio.run(_serve(given.config, Book(load_database(given.database), given.seed, given.people)))
    return 0


async def _serve(config: Path, book: Book) -> None:
    async with calling(config) as channel:
        servicer = SocialInsurance(book, Registers.on(channel), asking_for(PURPOSE), lambda: datetime.now(UTC))
        await serve_until_told(config, (add_SocialInsuranceServiceServicer_to_server, servicer), source=book)


if __name__ == "__main__":
    program(main)
