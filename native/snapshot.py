"""Policy snapshots: a signed, versioned header over policy tables, in one file.

File: `GVBSNAP1` || u32le n || SnapshotHeader || u32le m || Signature || zeros to a multiple of 64 || tables. It is
signed by a batch signature under `govbus/snapshot/v1` by the policy key that every reader has pinned. The gate opens
the same bytes with native/core/snapshot.pxi, by the same numbered steps. Follows docs/protocol.md, section 9; no clock,
no file: time and bytes come in.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from native.batch import sign_batch, verify_batch
from native.codec import CodecError, decode_signature, decode_snapshot_header, encode_snapshot_header
from native.ecdsa import PublicKey
from native.errors import BatchPathInvalid, SignatureInvalid
from native.headers import Signature, SnapshotHeader
from native.policy import Policy
from native.policy_types import PolicyError

__all__ = [
    "BROKER_SCOPE",
    "Signer",
    "SnapshotError",
    "VerifiedSnapshot",
    "encode_snapshot",
    "encode_snapshots",
    "verify_signed",
    "verify_snapshot",
]

BROKER_SCOPE = "broker"
SNAPSHOT_TYPE = "govbus/snapshot/v1"
_MAGIC = b"GVBSNAP1"
_SKEW_MS = 30_000


class Signer(Protocol):
    """Whoever holds the policy key."""

    @property
    def key_id(self) -> bytes: ...

    def sign(self, message: bytes, /) -> bytes: ...


class SnapshotError(ValueError):
    """A snapshot that must not be served from. `reason`: format, header, signature, trust_domain, scope, version,
    log_position, future, stale, digest, tables."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"snapshot refused ({reason}): {text}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedSnapshot:
    """A snapshot that passed every step; `policy` answers from it."""

    header: SnapshotHeader
    policy: Policy
    tables: bytes


def encode_snapshot(
    tables: bytes,
    signer: Signer,
    *,
    trust_domain: str,
    version: int,
    log_position: int,
    created_at_ms: int,
    alarm_after_ms: int,
    refuse_after_ms: int,
    scope: str = BROKER_SCOPE,
) -> bytes:
    """The file image over compiled tables, signed by the policy key."""
    header = SnapshotHeader(
        trust_domain=trust_domain,
        version=version,
        log_position=log_position,
        created_at_ms=created_at_ms,
        alarm_after_ms=alarm_after_ms,
        refuse_after_ms=refuse_after_ms,
        scope=scope,
        tables_digest=sha256(tables).digest(),
        tables_size=len(tables),
    )
    return encode_snapshots([(header, tables)], signer)[0]


def encode_snapshots(several: Sequence[tuple[SnapshotHeader, bytes]], signer: Signer) -> list[bytes]:
    """File images over compiled tables whose digests the headers hold, all under one signature; at most 64."""
    headers = [encode_snapshot_header(header) for header, _ in several]
    signatures = sign_batch(signer, [(SNAPSHOT_TYPE, header) for header in headers])
    heads = [_MAGIC + _part(header) + _part(one) for header, one in zip(headers, signatures, strict=True)]
    return [head + bytes(-len(head) % 64) + tables for head, (_, tables) in zip(heads, several, strict=True)]


def verify_snapshot(
    data: bytes,
    policy_key_point: bytes,
    trust_domain: str,
    scope: str,
    now_ms: int,
    floor_version: int = 0,
    floor_log_position: int = 0,
) -> VerifiedSnapshot:
    """Takes the seven steps of native/core/snapshot.pxi. Raises SnapshotError at the first that fails."""
    header, tables = verify_signed(
        data, policy_key_point, trust_domain, scope, now_ms, floor_version, floor_log_position
    )
    try:
        policy = Policy(tables)
    except PolicyError as error:
        raise SnapshotError("tables", str(error)) from None
    return VerifiedSnapshot(header, policy, tables)


def verify_signed(
    data: bytes,
    policy_key_point: bytes,
    trust_domain: str,
    scope: str,
    now_ms: int,
    floor_version: int = 0,
    floor_log_position: int = 0,
) -> tuple[SnapshotHeader, bytes]:
    """Header and tables, as verify_snapshot but for the tables' own order: for who hands them on to be opened."""
    encoded, signature, tables = _split(data)  # (1)
    try:
        header = decode_snapshot_header(encoded)  # (2)
    except CodecError as error:
        raise SnapshotError("header", str(error)) from None
    _verify_signature(encoded, signature, policy_key_point)  # (3)
    _judge(header, trust_domain, scope, now_ms, floor_version, floor_log_position)  # (4)-(6)
    if header.tables_size != len(tables) or sha256(tables).digest() != header.tables_digest:  # (7)
        raise SnapshotError("digest", "the tables are not those that were signed; fetch the file again")
    return header, tables


def _part(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _take(data: bytes, at: int, longest: int) -> tuple[bytes, int]:
    if len(data) - at < 4:
        raise SnapshotError("format", "the file is cut short; fetch it again")
    (length,) = struct.unpack_from("<I", data, at)
    end = at + 4 + length
    if length > longest or end > len(data):
        raise SnapshotError("format", "a length does not fit the file; fetch it again")
    return data[at + 4 : end], end


def _split(data: bytes) -> tuple[bytes, bytes, bytes]:
    if data[:8] != _MAGIC:
        raise SnapshotError("format", "this is no snapshot of this version")
    header, at = _take(data, 8, 1024)
    signature, at = _take(data, at, 512)
    body = -(-at // 64) * 64
    if body > len(data) or any(data[at:body]):
        raise SnapshotError("format", "the padding is not zeros to a multiple of 64")
    return header, signature, data[body:]


def _verify_signature(header: bytes, encoded: bytes, point: bytes) -> None:
    try:
        signature: Signature = decode_signature(encoded)
        verify_batch(PublicKey.from_point(point), SNAPSHOT_TYPE, header, signature, None)
    except (CodecError, BatchPathInvalid, SignatureInvalid):
        raise SnapshotError("signature", "it is not signed by the pinned policy key") from None


def _judge(header: SnapshotHeader, domain: str, scope: str, now_ms: int, version: int, log_position: int) -> None:
    if header.trust_domain != domain:
        raise SnapshotError("trust_domain", "it was made for another trust domain")
    if header.scope != scope:
        raise SnapshotError("scope", "it was made for somebody else")
    if header.version < version:
        raise SnapshotError("version", f"version {header.version} is below {version}, which was already served")
    if header.log_position < log_position:
        raise SnapshotError("log_position", f"log position {header.log_position} is below {log_position}")
    if header.created_at_ms > now_ms + _SKEW_MS:
        raise SnapshotError("future", "it was made in the future; check this machine's clock")
    if now_ms - header.created_at_ms > header.refuse_after_ms:
        raise SnapshotError("stale", "it is older than it may be; compile or fetch a new one")
