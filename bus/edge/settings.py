"""What one broker instance's Envoy is told, as frozen values: the input of `bus.edge.envoy_config`.

Nothing here is secret: the gate's private key travels in memory (bus.engines.envoy), never by a file of configuration.
Limits that are promises of the design stand here as constants, with their reason.
"""

from dataclasses import dataclass
from pathlib import Path

from bus.edge.endpoint import Endpoint

__all__ = ["CLUSTER_HEADER", "GATE_MODULE", "EdgeSettings", "GateFilter", "TlsFiles", "Upstream"]

GATE_MODULE = "govbus_gate"
"""Envoy loads `lib<name>.so` from its module search path."""
CLUSTER_HEADER = "govbus-cluster"
"""Set by the gate from the signed header's provider; removed before the request leaves."""
MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest message on the bus (design.md 7)."""
STREAM_BYTES = MESSAGE_BYTES + 64 * 1024
"""A whole message with its frame prefix must fit the stream's window, or the gate could never hold it."""
METADATA_KIB = 16
"""Largest set of headers or trailers (design.md 7)."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The broker's TLS credentials as files (pki.credentials)."""

    watched: Path
    """The directory in which a rename announces new credentials."""
    chain: Path
    """Leaf first, then the issuing CA, PEM."""
    private_key: Path
    trust_root: Path
    """The instance's roots and issuing CAs, PEM: the only trust anchors on both sides."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One provider: its cluster is named by its DNS name, which is also the only name it may present."""

    dns_name: str
    endpoints: tuple[Endpoint, ...]
    certificates: tuple[bytes, ...] | None = None
    """SHA-256 of its live certificates, by the policy snapshot; with none of them nobody is it. None (no list): any
    certificate of the instance with that name. For benchmarks and tests of Envoy itself only, as a bare edge is."""


@dataclass(frozen=True, slots=True)
class GateFilter:
    """What ECDS hands the gate: a file, its version and digest. Policy itself never passes through Envoy."""

    snapshot: Path
    version: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class EdgeSettings:
    """One Envoy. `directory` is absolute and holds every file that Envoy watches."""

    broker: str
    """SPIFFE ID of this broker instance."""
    listen: Endpoint
    admin_socket: Path
    directory: Path
    tls: TlsFiles
    upstreams: tuple[Upstream, ...]
    gate: GateFilter | None
    """None: a bare edge that routes by the header as it came. For benchmarks and tests of Envoy itself only."""
    trace_collector: Endpoint | None = None
    """OTLP over gRPC, plaintext: the user's choice, off by default."""
    heap_bytes: int = 1 << 30
    max_connections: int = 10_000
    drain_seconds: int = 10
