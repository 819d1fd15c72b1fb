"""`govbus proxy`: an address on this machine that signs, for tools and programs that cannot (grpcurl, Go, Java).

Whoever reaches the address calls in the subsystem's name. So it is a socket file of its owner's, or a loopback port
with a token that this command prints; any other address is refused.
"""

import asyncio
import contextlib
import ipaddress
import os
import secrets
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bus.exchange import ConfigError, connect  # isort: skip - before gRPC

from grpc import aio

from bus.cli.call_caller import Caller, caller_at, home_of, provider_identity
from bus.cli.call_trace import spans_of
from bus.cli.contract_fetch import callable_services, fetch_contracts
from bus.cli.output import Unable, echo_json, error_lines, printable
from bus.cli.proxy_reflection import reflect
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.edge.endpoint import EndpointError, parse_endpoint
from bus.exchange.channel import ChannelView
from bus.exchange.tls import TlsError
from bus.proxy import ProxyServer
from bus.proxy.said import SAID

__all__ = ["proxy"]

_GRACE_S = 5.0
_TOKEN_BYTES = 24


def proxy(
    home: Annotated[Path | None, typer.Option(help="Who calls: the directory that `govbus enrol` made.")] = None,
    as_: Annotated[
        str | None, typer.Option("--as", help="Who calls: <class>/<member>/<subsystem> with a home in the state.")
    ] = None,
    listen: Annotated[str | None, typer.Option(help="Loopback host:port. Default: a free port of 127.0.0.1.")] = None,
    socket_: Annotated[
        Path | None, typer.Option("--socket", help="Listen at this socket file instead, which only you may use.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="Where a call says none. Default: the home's, if any.")] = None,
    case: Annotated[str | None, typer.Option(help="Where a call says none. Default: the home's, or a new one.")] = None,
    official: Annotated[str | None, typer.Option(help="Where a call says none: a pseudonym the member made.")] = None,
    provider: Annotated[str | None, typer.Option(help="Where a call says none. Default: the one a grant fits.")] = None,
    grant: Annotated[str | None, typer.Option(help="Where a call says none. Default: the one that fits.")] = None,
    descriptor_set: Annotated[
        Path | None, typer.Option(help="FileDescriptorSet for reflection. Default: the bus's directory is asked.")
    ] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign for local tools until Ctrl-C: plain gRPC in, the bus out. Metadata says purpose, case and the like."""
    with error_lines():
        try:
            layout = layout_of(state)
            caller = caller_at(home_of(home, layout, as_))
            usual = {
                "purpose": purpose,
                "case_id": case,
                "official": official,
                "provider": None if provider is None else provider_identity(caller, provider),
                "grant_id": grant,
            }
            said = {name: value for name, value in usual.items() if value is not None}
            address = _loopback(listen) if socket_ is None else f"unix:{_free_socket(socket_)}"
            image = descriptor_set.read_bytes() if descriptor_set else None
            with spans_of(layout, caller):
                asyncio.run(_run(caller, said, address, image, as_json))
        except (ConfigError, TlsError) as error:
            raise Unable(str(error)) from error


async def _run(caller: Caller, said: dict[str, str], address: str, image: bytes | None, as_json: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    token = None if address.startswith("unix:") else secrets.token_urlsafe(_TOKEN_BYTES)
    async with connect(caller.config) as channel:
        view: ChannelView = channel.using(**said)  # type: ignore[arg-type]  # no callback is among them
        services = callable_services(caller)
        extra: list[Callable[[aio.Server], None]] = []
        without = ""
        try:
            purpose = said.get("purpose", caller.config.purpose)
            found = image or await fetch_contracts(view, caller, services, purpose, _GRACE_S)
            extra.append(reflect(found, services))
        except Unable as error:
            without = str(error)
        named = "case_id" in said or caller.config.case_id
        server = ProxyServer(
            view, caller.identity.trust_domain, token=token, make_case=None if named else _new_case, extra=extra
        )
        before = os.umask(0o177)  # the socket file is born its owner's
        try:
            port = await server.start(address)
        finally:
            os.umask(before)
        where = address if token is None else f"{address.rpartition(':')[0]}:{port}"
        _tell(caller, where, token, without, as_json)
        await stop.wait()
        await server.stop(_GRACE_S)


def _new_case() -> str:
    return f"proxy-{secrets.token_hex(6)}"


def _tell(caller: Caller, where: str, token: str | None, without: str, as_json: bool) -> None:
    if as_json:
        echo_json({"address": where, "token": token, "subsystem": caller.identity.path, "reflection": not without})
        return
    typer.echo(f"signing as {caller.identity.path} at {where}; Ctrl-C ends it")
    typer.echo(f"metadata: {', '.join(SAID)}")
    if token is not None:
        typer.echo(f"metadata, needed: authorization: Bearer {token}")
    if without:
        typer.echo(printable(f"no reflection: {without}"), err=True)


def _loopback(text: str | None) -> str:
    if text is None:
        return "127.0.0.1:0"
    try:
        endpoint = parse_endpoint(text)
        if not ipaddress.ip_address(endpoint.host).is_loopback:
            raise Unable("the proxy signs for whoever reaches it: --listen takes a loopback address only")
    except (EndpointError, ValueError) as error:
        raise Unable(f"--listen: {error}; write 127.0.0.1:PORT") from error
    return str(endpoint)


def _free_socket(path: Path) -> Path:
    """The path, with what a killed proxy left there removed; Unable where it is not ours to take."""
    path = path.absolute()
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise Unable(f"{path} is there and is no socket; name another --socket")
    except FileNotFoundError:
        return path
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return path
    raise Unable(f"another proxy listens at {path}; name another --socket")
