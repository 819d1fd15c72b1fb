"""A network address that a person wrote: `host:port`, read once and carried as a value.

Hosts are IPv4 addresses, bracketed IPv6 addresses or DNS names. A unix socket or a bare port is refused: everything
that crosses between members is mutual TLS over TCP.
"""

import ipaddress
import re
from dataclasses import dataclass

__all__ = ["Endpoint", "EndpointError", "parse_endpoint"]

_HOST = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.ASCII)


class EndpointError(ValueError):
    """A text that is no address; the message says how to write one."""


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Host (no brackets) and TCP port, 1-65,535."""

    host: str
    port: int

    @property
    def is_address(self) -> bool:
        """True when the host needs no name resolution."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint:
    """Read `host:port`; EndpointError for anything else."""
    host, separator, port = text.rpartition(":")
    if not separator or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise EndpointError("write an address as host:port, with a port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        try:
            return Endpoint(str(ipaddress.IPv6Address(host[1:-1])), int(port))
        except ValueError as error:
            raise EndpointError("inside the brackets stands an IPv6 address") from error
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise EndpointError("the host is an IPv4 address, a [bracketed] IPv6 address or a lower-case DNS name")
    return Endpoint(host, int(port))
