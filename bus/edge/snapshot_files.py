"""Policy -> signed snapshots: the broker's whole one, and for every subsystem the part that it needs (protocol.md 9).

`compile_snapshots` is values to bytes. `publish` puts them in a directory, by rename, the broker's last: what a broker
admits, a provider should know already.

    broker.snapshot                       scope `broker`
    <class>.<member>.<subsystem>.snapshot scope: that SPIFFE ID
    endpoints.json                        where providers listen, for Envoy; says nothing that is believed without TLS
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bus.edge.endpoint import Endpoint, EndpointError, parse_endpoint
from bus.edge.policy_model import PolicyDocument, ScopeIndex
from native.codec import decode_snapshot_header
from native.headers import SnapshotHeader
from native.policy import PolicyTables, build_tables
from native.snapshot import BROKER_SCOPE, encode_snapshot
from pki.files import write_atomic
from pki.identity import parse_spiffe_id
from pki.signer import Signer

__all__ = [
    "BROKER_SNAPSHOT",
    "ENDPOINTS",
    "CompiledPolicy",
    "compile_scopes",
    "compile_snapshots",
    "cut_scopes",
    "parse_endpoints",
    "peek_header",
    "publish",
    "snapshot_name",
]

BROKER_SNAPSHOT = "broker.snapshot"
ENDPOINTS = "endpoints.json"
_HEADER_AT = 12


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """One version of everything."""

    version: int
    snapshots: Mapping[str, bytes]
    """By scope: `broker`, or a subsystem's SPIFFE ID."""
    endpoints: bytes


def compile_snapshots(
    document: PolicyDocument, signer: Signer, *, version: int, log_position: int, now_ms: int
) -> CompiledPolicy:
    """Every snapshot of one version. PolicyError when the tables would be refused by a gate."""
    parts = cut_scopes(document)
    return compile_scopes(document, parts, signer, version=version, log_position=log_position, now_ms=now_ms)


def cut_scopes(document: PolicyDocument) -> dict[str, PolicyTables]:
    """What each scope's snapshot holds: the broker's everything, a subsystem's its own part."""
    index = ScopeIndex(document.tables)
    parts = {one.id: index.scope(one.id) for one in document.tables.subsystems if not one.is_broker}
    return {BROKER_SCOPE: document.tables} | parts


def compile_scopes(
    document: PolicyDocument,
    parts: Mapping[str, PolicyTables],
    signer: Signer,
    *,
    version: int,
    log_position: int,
    now_ms: int,
) -> CompiledPolicy:
    """As compile_snapshots, for some of the scopes that cut_scopes gave."""
    snapshots = {
        scope: encode_snapshot(
            build_tables(part),
            signer,
            trust_domain=document.trust_domain,
            version=version,
            log_position=log_position,
            created_at_ms=now_ms,
            alarm_after_ms=document.alarm_after_ms,
            refuse_after_ms=document.refuse_after_ms,
            scope=scope,
        )
        for scope, part in parts.items()
    }
    return CompiledPolicy(version, snapshots, _encode_endpoints(document))


def snapshot_name(scope: str) -> str:
    """The file name of a scope."""
    if scope == BROKER_SCOPE:
        return BROKER_SNAPSHOT
    return f"{parse_spiffe_id(scope).path.replace('/', '.')}.snapshot"


def publish(compiled: CompiledPolicy, directory: Path) -> None:
    """Replace the files in `directory`."""
    for scope, data in sorted(compiled.snapshots.items(), key=lambda entry: entry[0] == BROKER_SCOPE):
        write_atomic(directory / snapshot_name(scope), data)
    write_atomic(directory / ENDPOINTS, compiled.endpoints)


def peek_header(data: bytes) -> SnapshotHeader:
    """The header of a snapshot, unverified: for choosing the next version and for showing. CodecError if malformed."""
    size = int.from_bytes(data[8:_HEADER_AT], "little")
    return decode_snapshot_header(data[_HEADER_AT : _HEADER_AT + size])


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


def _encode_endpoints(document: PolicyDocument) -> bytes:
    brokers = {one.id for one in document.tables.subsystems if one.is_broker}
    found = {
        provider: [str(one) for one in endpoints]
        for provider, endpoints in document.endpoints.items()
        if provider not in brokers
    }
    return (json.dumps(found, indent=1, sort_keys=True) + "\n").encode("ascii")
