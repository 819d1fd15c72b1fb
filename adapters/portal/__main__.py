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
from pathlib import Path

from adapters.portal.archive import Archive
from adapters.portal.listening import free_socket, make_secret, secret_file, serve_at
from adapters.portal.service import Portal
from bus.exchange import ClientConfig, connect, export_telemetry, load_client_config
from pki.identity import parse_spiffe_id


def main(arguments: list[str]) -> int:
    parser = argument_parser("Run procedures for citizens, told step by step.", with_database=False)
    parser.add_argument("--socket", type=Path, required=True, help="where to listen: a path in the portal's own home")
    given = parser.parse_args(arguments)
    os.umask(0o077)
    path = free_socket(given.socket)
    try:
        asyncio.run(_serve(load_client_config(given.config), Archive(given.config.absolute().parent), path))
    finally:
        path.unlink(missing_ok=True)
        secret_file(path).unlink(missing_ok=True)
    return 0


async def _serve(settings: ClientConfig, archive: Archive, path: Path) -> None:
    portal = parse_spiffe_id(settings.identity.spiffe_id)
    with export_telemetry(portal.path):
        async with connect(settings) as channel:
            await serve_at(path, Portal(channel, portal, archive, _new_case, make_secret(path)))


def _new_case() -> str:
    return f"BIRTH-{secrets.token_hex(6)}"


if __name__ == "__main__":
    program(main)
