"""Policy -> signed snapshots: the broker's whole one, and for every subsystem the part that it needs (protocol.md 9).

`compile_snapshots` is values to bytes. `publish` puts them in a directory, by rename, the broker's last: what a broker
admits, a provider should know already.

    broker.snapshot                       scope `broker`
    <class>.<member>.<subsystem>.snapshot scope: that SPIFFE ID
    endpoints.json                        where providers listen, for Envoy; says nothing that is believed without TLS
"""

import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path

from bus.edge.endpoint import Endpoint, EndpointError, parse_endpoint
from bus.edge.policy_model import PolicyDocument
from native.codec import decode_snapshot_header
from native.headers import SnapshotHeader
from native.policy import PolicyCutter, build_tables
from native.snapshot import BROKER_SCOPE, encode_snapshots
from pki.files import write_atomic
from pki.identity import parse_spiffe_id
from pki.signer import Signer

__all__ = [
    "BROKER_SNAPSHOT",
    "ENDPOINTS",
    "SEED_SIZE",
    "CompiledPolicy",
    "SnapshotFacts",
    "compile_snapshots",
    "encode_endpoints",
    "parse_endpoints",
    "peek_header",
    "publish",
    "read_header",
    "sign_scopes",
    "snapshot_name",
]

BROKER_SNAPSHOT = "broker.snapshot"
ENDPOINTS = "endpoints.json"
SEED_SIZE = 16
"""Bytes of the random key of a part's indices."""
_UNDER_ONE_SIGNATURE = 64
_HEADER_AT = 12
_LONGEST_HEAD = 2_048


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """One version of everything."""

    version: int
    snapshots: Mapping[str, bytes]
    """By scope: `broker`, or a subsystem's SPIFFE ID."""
    endpoints: bytes


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """What the headers of all snapshots of one version have in common."""

    trust_domain: str
    version: int
    log_position: int
    created_at_ms: int
    alarm_after_ms: int
    refuse_after_ms: int

    def header(self, scope: str, tables: bytes) -> SnapshotHeader:
        """For these tables."""
        return SnapshotHeader(
            trust_domain=self.trust_domain,
            version=self.version,
            log_position=self.log_position,
            created_at_ms=self.created_at_ms,
            alarm_after_ms=self.alarm_after_ms,
            refuse_after_ms=self.refuse_after_ms,
            scope=scope,
            tables_digest=sha256(tables).digest(),
            tables_size=len(tables),
        )


def compile_snapshots(
    document: PolicyDocument, signer: Signer, *, version: int, log_position: int, now_ms: int
) -> CompiledPolicy:
    """Every snapshot of one version. PolicyError when the tables would be refused by a gate."""
    facts = SnapshotFacts(
        document.trust_domain, version, log_position, now_ms, document.alarm_after_ms, document.refuse_after_ms
    )
    whole = PolicyCutter(build_tables(document.tables))
    seed = secrets.token_bytes(SEED_SIZE)
    scopes = [one.id for one in document.tables.subsystems if not one.is_broker]
    brokers = {one.id for one in document.tables.subsystems if one.is_broker}
    parts = ((scope, whole.cut(scope, seed)) for scope in scopes)
    snapshots = dict(sign_scopes(chain(parts, [(BROKER_SCOPE, whole.tables)]), signer, facts))
    return CompiledPolicy(version, snapshots, encode_endpoints(document.endpoints, brokers))


def sign_scopes(
    parts: Iterable[tuple[str, bytes]], signer: Signer, facts: SnapshotFacts
) -> Iterator[tuple[str, bytes]]:
    """(scope, tables) to (scope, snapshot), some under one signature: a slow signer signs once for all of them."""
    several = iter(parts)
    while some := list(islice(several, _UNDER_ONE_SIGNATURE)):
        snapshots = encode_snapshots([(facts.header(*one), one[1]) for one in some], signer)
        yield from zip((scope for scope, _ in some), snapshots, strict=True)


def snapshot_name(scope: str) -> str:
    """The file name of a scope."""
    if scope == BROKER_SCOPE:
        return BROKER_SNAPSHOT
    return f"{parse_spiffe_id(scope).path.replace('/', '.')}.snapshot"


def publish(compiled: CompiledPolicy, directory: Path) -> None:
    """Replace the files in `directory`, all of them durably."""
    for scope, data in sorted(compiled.snapshots.items(), key=lambda entry: entry[0] == BROKER_SCOPE):
        write_atomic(directory / snapshot_name(scope), data)
    write_atomic(directory / ENDPOINTS, compiled.endpoints)


def peek_header(data: bytes) -> SnapshotHeader:
    """The header of a snapshot, unverified: for choosing the next version and for showing. CodecError if malformed."""
    size = int.from_bytes(data[8:_HEADER_AT], "little")
    return decode_snapshot_header(data[_HEADER_AT : _HEADER_AT + size])


def read_header(path: Path) -> SnapshotHeader:
    """As peek_header, without reading all of the file."""
    with path.open("rb") as file:
        return peek_header(file.read(_LONGEST_HEAD))


def parse_endpoints(data: bytes) -> dict[str, tuple[Endpoint, ...]]:
    """The content of endpoints.json: provider's SPIFFE ID -> where it listens. ValueError if it is not ours."""
    try:
        found = json.loads(data)
        return {
            parse_spiffe_id(provider).spiffe_id: tuple(parse_endpoint(one) for one in endpoints)
            for provider, endpoints in found.items()
        }
    except (AttributeError, TypeError, EndpointError) as error:
        raise ValueError("not an endpoints.json of ours; run `govbus snapshot compile` again") from error


def encode_endpoints(endpoints: Mapping[str, tuple[Endpoint, ...]], brokers: Collection[str]) -> bytes:
    """endpoints.json for these; where brokers listen is no business of other brokers."""
    found = {
        provider: [str(one) for one in several] for provider, several in endpoints.items() if provider not in brokers
    }
    return (json.dumps(found, indent=1, sort_keys=True) + "\n").encode("ascii")
