"""The portal's socket: a file that only its owner may use, in its own home, and a secret beside it.

1. The file is 0600 from its first moment, in a folder that is 0700: others never reach it.
2. What a killed portal left there is removed; a socket that somebody listens at, or a file of another kind, is not.
3. grpc.health.v1.Health answers there, too.
4. It is bound by its folder's descriptor: an address has 107 bytes (unix(7)), and a folder may lie deeper.
5. Programs of one user may connect to each other's sockets whatever their modes say, where the kernel does not hide
   them: so who calls must know what lies in SOCKET-NAME.secret, a file of its owner's, made anew at each start.
"""

from __future__ import annotations

from adapters.runtime import CannotStart  # isort: skip - first, before anything that imports gRPC

import asyncio
import os
import secrets
import signal
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # no stubs are locked for it
from vn.portal.v1.portal_pb2 import DESCRIPTOR
from vn.portal.v1.portal_pb2_grpc import PortalServiceServicer, add_PortalServiceServicer_to_server

from pki.files import ensure_private_directory, write_atomic

__all__ = ["free_socket", "make_secret", "secret_file", "serve_at"]

_LONGEST: Final = 64
_GRACE_S: Final = 5.0
_SECRET_BYTES: Final = 32


def free_socket(path: Path) -> Path:
    """The absolute path, with nothing there; CannotStart where it is not ours to take."""
    path = path.absolute()
    if len(os.fsencode(path.name)) > _LONGEST:
        raise CannotStart(f"--socket {path.name} is longer than the {_LONGEST} bytes that such a file's name may have")
    ensure_private_directory(path.parent)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return path
    if not stat.S_ISSOCK(found.st_mode):
        raise CannotStart(f"{path} is there and is no socket; name another --socket")
    with closing(socket.socket(socket.AF_UNIX)) as probe, _reached(path) as short:
        try:
            probe.connect(short)
        except ConnectionRefusedError:
            path.unlink()
            return path
    raise CannotStart(f"another portal listens at {path}; name another --socket")


@contextmanager
def _reached(path: Path) -> Iterator[str]:
    """A short name of `path` while the block runs."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def secret_file(path: Path) -> Path:
    """Where the secret of the socket `path` lies: `portal.secret` beside `portal.sock`."""
    return path.with_suffix(".secret")


def make_secret(path: Path) -> str:
    """A new secret for the socket `path`, written down for who may open files of the home."""
    found = secrets.token_urlsafe(_SECRET_BYTES)
    write_atomic(secret_file(path), found.encode("ascii"))
    return found


async def serve_at(path: Path, servicer: PortalServiceServicer) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Says on standard output when and where it listens."""
    with _reached(path) as short:
        await _serve(path, f"unix:{quote(short)}", servicer)  # gRPC reads %41 as a letter


async def _serve(path: Path, address: str, servicer: PortalServiceServicer) -> None:
    server, found = grpc.aio.server(), health.aio.HealthServicer()
    add_PortalServiceServicer_to_server(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(found, server)
    for service in ("", DESCRIPTOR.services_by_name["PortalService"].full_name):
        await found.set(service, health_pb2.HealthCheckResponse.SERVING)
    before = os.umask(0o177)
    try:
        server.add_insecure_port(address)
        await server.start()
    finally:
        os.umask(before)
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    sys.stdout.write(f"serving on socket {path}\n")
    sys.stdout.flush()
    try:
        await told.wait()
    finally:
        await found.enter_graceful_shutdown()
        await server.stop(_GRACE_S)
