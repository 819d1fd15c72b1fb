"""`python -m adapters.population --config FILE --database FILE`: serve the synthetic register until told to stop.

At the first start the people of the seed are made and stored; later starts find them, newborns included.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    argument_parser,
    load_database,
    program,
    serve_until_told,
)

import asyncio
import secrets

from vn.population.v1.population_pb2_grpc import add_PopulationServiceServicer_to_server

from adapters.administrative.table import load_table
from adapters.caller import verified_caller
from adapters.population.generate import DEFAULT_PEOPLE, DEFAULT_SEED, DEFAULT_YEAR, generate
from adapters.population.service import Population
from adapters.population.store import PersonStore


def main(arguments: list[str]) -> int:
    parser = argument_parser("Serve a register of synthetic people.")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="which people (default: %(default)s)")
    parser.add_argument("--people", type=int, default=DEFAULT_PEOPLE, help="how many (default: %(default)s)")
    given = parser.parse_args(arguments)
    table = load_table()
    store = PersonStore(
        load_database(given.database),
        {"seed": str(given.seed), "people": str(given.people), "year": str(DEFAULT_YEAR)},
        lambda: generate(table, given.seed, given.people, DEFAULT_YEAR),
    )
    servicer = Population(store, table, lambda: secrets.randbelow(1_000_000), verified_caller)
    asyncio.run(serve_until_told(given.config, (add_PopulationServiceServicer_to_server, servicer), source=store))
    return 0


if __name__ == "__main__":
    program(main)
