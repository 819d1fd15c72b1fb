"""`python -m adapters.portal --config FILE --socket PATH`: run procedures for citizens until told to stop.

The file needs its `client` part only, with grants at civil status, social insurance, land and store (see
adapters/README.md). What the portal keeps lies beside the file.
"""

from __future__ import annotations

from adapters.runtime import (  # isort: skip - first, before anything that imports gRPC
    argument_parser,
    program,
)

import asyncio
import os
import secrets
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Final

from adapters.portal.archive import KEEP_CALLS, KEEP_DAYS, Archive
from adapters.portal.listening import free_socket, make_secret, secret_file, serve_at
from adapters.portal.service import AT_ONCE, Portal
from bus.exchange import ClientConfig, connect, export_telemetry, load_client_config
from pki.identity import parse_spiffe_id

FEWEST_CALLS: Final = 1_000  # so that no procedure that runs loses what it tells of
TIDY_S: Final = 60.0


def main(arguments: list[str]) -> int:
    parser = argument_parser("Run procedures for citizens, told step by step.", with_database=False)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen: a path in the portal's own home")
    parser.add_argument("--keep-days", type=_at_least(1), default=KEEP_DAYS, help="evidence (default: %(default)s)")
    text = "of how many calls, at most, evidence is kept (default: %(default)s)"
    parser.add_argument("--keep-calls", type=_at_least(FEWEST_CALLS), default=KEEP_CALLS, help=text)
    text = "procedures; more are told PORTAL_BUSY (default: %(default)s)"
    parser.add_argument("--at-once", type=_at_least(1), default=AT_ONCE, help=text)
    given = parser.parse_args(arguments)
    os.umask(0o077)
    path = free_socket(given.socket)
    try:
        asyncio.run(_serve(load_client_config(given.config), given, path))
    finally:
        path.unlink(missing_ok=True)
        secret_file(path).unlink(missing_ok=True)
    return 0


def _at_least(fewest: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < fewest:
            raise ValueError
        return int(text)

    number.__name__ = f"number from {fewest:,} on"  # what argparse says that it should be
    return number


async def _serve(settings: ClientConfig, given: Namespace, path: Path) -> None:
    portal = parse_spiffe_id(settings.identity.spiffe_id)
    archive = Archive(given.config.absolute().parent, given.keep_days, given.keep_calls)
    with export_telemetry(portal.path):
        async with connect(settings) as channel:
            tidying = asyncio.create_task(_tidy(archive))
            try:
                await serve_at(path, Portal(channel, portal, archive, _new_case, make_secret(path), given.at_once))
            finally:
                tidying.cancel()


async def _tidy(archive: Archive) -> None:
    """Once a minute, for as long as the portal runs; a disk that fails now may not fail the next time."""
    while True:
        try:
            await asyncio.to_thread(archive.tidy, time.time())
        except OSError as error:
            sys.stderr.write(f"evidence that is to go could not be deleted ({type(error).__name__}); tried again\n")
        await asyncio.sleep(TIDY_S)


def _new_case() -> str:
    return f"BIRTH-{secrets.token_hex(6)}"


if __name__ == "__main__":
    program(main)
