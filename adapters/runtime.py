"""The one place where adapters touch the bus's runtime; everything else here is stock gRPC.

Calls that a servicer makes carry the case id of the call it serves. Purpose and official are not passed on: for what an
adapter asks others, and by whose hand, is its own statement.

A program imports this before anything that imports gRPC (see bus.exchange.tls).
"""

from __future__ import annotations

from bus.exchange import (  # isort: skip - first, see above
    ConfigError,
    Refused,
    Server,
    call_context,
    connect,
    export_telemetry,
    fixed_text,
    govbus_call,
    load_client_config,
    load_provider_config,
    serve,
)

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn

import grpc
import psycopg
from psycopg.conninfo import conninfo_to_dict

from adapters.source import Runs
from bus.exchange.channel import Channel
from bus.exchange.tls import TlsError
from native.snapshot import SnapshotError
from pki.errors import ProfileError
from pki.files import read_private
from pki.identity import parse_spiffe_id

__all__ = [
    "CannotStart",
    "answered_by_provider",
    "argument_parser",
    "asking_for",
    "asking_in",
    "calling",
    "case_served",
    "fixed_text",
    "load_database",
    "own_path",
    "program",
    "serve_until_told",
]

Registration = tuple[Callable[[Any, Any], None], object]
_Context = grpc.aio.ServicerContext[Any, Any]


class CannotStart(Exception):
    """An adapter cannot start; the text says what to do."""


def program(main: Callable[[list[str]], int]) -> NoReturn:
    """Run an adapter's main with the command line. What stands in the way of a start is one line, not a stack trace."""
    try:
        sys.exit(main(sys.argv[1:]))
    except (CannotStart, ConfigError, TlsError, SnapshotError, ProfileError, OSError) as error:
        sys.exit(f"cannot start: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped before it served")


def argument_parser(description: str, *, with_database: bool = True) -> argparse.ArgumentParser:
    """The arguments that adapters share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, required=True, help="the subsystem's file, see bus/exchange/config.py")
    if with_database:
        text = "a file, 0600, with the libpq URL or key=value line of this program's own PostgreSQL database"
        parser.add_argument("--database", type=Path, required=True, help=text)
    return parser


def load_database(path: Path) -> str:
    """What --database names: where a program's database is, with its password, so nobody else may read the file."""
    try:
        dsn = read_private(path).decode().strip()
        if conninfo_to_dict(dsn).get("dbname"):
            return dsn
    except (UnicodeDecodeError, psycopg.ProgrammingError):
        pass  # its text would quote the password
    raise CannotStart(f"{path} names no database; put one line there, such as postgresql://ROLE:PASSWORD@HOST/NAME")


async def serve_until_told(config: Path, *servicers: Registration, source: Runs | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Says on standard output when and where it listens.

    A source runs as long as its servicers; while what lies behind it is away, health says NOT_SERVING.
    """
    settings = load_provider_config(config)
    with export_telemetry(parse_spiffe_id(settings.identity.spiffe_id).path):
        server = serve(settings, servicers)
        async with AsyncExitStack() as running:
            if source is not None:
                await running.enter_async_context(source.running(server.set_serving))
            await _serve(server)


async def _serve(server: Server) -> None:
    port = await server.start()
    sys.stdout.write(f"serving on port {port}\n")
    sys.stdout.flush()
    await server.run()


def own_path(config: Path) -> str:
    """Of the subsystem that the file is for, such as gov/hanoi/civil-status."""
    return parse_spiffe_id(load_client_config(config).identity.spiffe_id).path


def calling(config: Path) -> Channel:
    """The client's side of the same file: a channel for stock stubs, closed at the end of its `async with`."""
    return connect(load_client_config(config))


def answered_by_provider(error: grpc.RpcError) -> bool:
    """Whether the code of a failed call is the provider's word, not the bus's or the network's."""
    return not isinstance(error, Refused)


def asking_for(purpose: str) -> Callable[[_Context], AbstractContextManager[None]]:
    """For the block: calls to other registers say this purpose and the case id of the call being served."""

    return lambda _: asking_in(purpose)(case_served())


def asking_in(purpose: str) -> Callable[[str], AbstractContextManager[None]]:
    """For the block: calls to other registers say this purpose and the case id that is given, none if it is empty."""

    def scope(case_id: str) -> AbstractContextManager[None]:
        return call_context(purpose=purpose, case_id=case_id or None)

    return scope


def case_served() -> str:
    """The case id of the call being served, empty without one."""
    return govbus_call().case_id
