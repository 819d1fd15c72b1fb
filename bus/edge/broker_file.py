"""broker.yaml: what one broker instance is told outside its policy. Relative paths start at the file's directory.

    version: 1
    identity: spiffe://bus.gov.example/gov/ndc/broker-1
    listen: 127.0.0.1:7443
    policy_key: policy-key.pem         # PEM SPKI of the key that signs snapshots: pinned, never fetched
    snapshot: snapshot.bin             # the whole policy; replaced by rename
    endpoints: endpoints.json          # where providers listen; replaced by rename
    concurrency: 2                     # optional: Envoy's worker threads; default: the machine's processors
    replay_log2: 18                    # optional: size of the replay table, log2 of its 64-byte buckets
    trace_collector: 127.0.0.1:4317    # optional: OTLP over gRPC, in the clear; off by default
    drain: 10s                         # optional: how long running calls may take when it stops

Credentials (pki.credentials) and the journal lie in the same directory.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from bus.edge.endpoint import Endpoint, EndpointError, parse_endpoint
from bus.edge.policy_pem import PemError, parse_signing_key_pem
from bus.edge.yaml_reader import Node, parse_yaml
from pki.identity import IdentityError, SubsystemId, parse_spiffe_id

__all__ = ["BROKER_FILE", "BrokerConfig", "load_broker_config"]

BROKER_FILE = "broker.yaml"
_DEFAULT_DRAIN_MS = 10_000


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """One broker instance; every path absolute."""

    directory: Path
    identity: SubsystemId
    listen: Endpoint
    policy_key_point: bytes
    snapshot: Path
    endpoints: Path
    concurrency: int
    replay_log2: int | None
    trace_collector: Endpoint | None
    drain_seconds: int

    @property
    def journal(self) -> Path:
        """The gate's own directory."""
        return self.directory / "journal"


def load_broker_config(directory: Path) -> BrokerConfig:
    """Read `<directory>/broker.yaml`; YamlFileError names the line that is wrong, OSError the file that is missing."""
    directory = directory.absolute()
    root = parse_yaml((directory / BROKER_FILE).read_bytes(), name=str(directory / BROKER_FILE))
    entry = root.mapping(
        required=("version", "identity", "listen", "policy_key", "snapshot", "endpoints"),
        optional=("concurrency", "replay_log2", "trace_collector", "drain"),
    )
    entry["version"].integer(1, 1)
    return BrokerConfig(
        directory=directory,
        identity=_identity(entry["identity"]),
        listen=_endpoint(entry["listen"]),
        policy_key_point=_point(entry["policy_key"], directory),
        snapshot=directory / entry["snapshot"].text(),
        endpoints=directory / entry["endpoints"].text(),
        concurrency=entry["concurrency"].integer(1, 256) if "concurrency" in entry else os.cpu_count() or 1,
        replay_log2=entry["replay_log2"].integer(10, 26) if "replay_log2" in entry else None,
        trace_collector=_endpoint(entry["trace_collector"]) if "trace_collector" in entry else None,
        drain_seconds=-(-(entry["drain"].duration_ms() if "drain" in entry else _DEFAULT_DRAIN_MS) // 1000),
    )


def _identity(node: Node) -> SubsystemId:
    try:
        return parse_spiffe_id(node.text())
    except IdentityError as error:
        node.fail(str(error))


def _endpoint(node: Node) -> Endpoint:
    try:
        return parse_endpoint(node.text())
    except EndpointError as error:
        node.fail(str(error))


def _point(node: Node, directory: Path) -> bytes:
    try:
        return parse_signing_key_pem((directory / node.text()).read_bytes())[1]
    except OSError as error:
        node.fail(f"cannot read this file ({error.strerror})")
    except PemError as error:
        node.fail(str(error))
