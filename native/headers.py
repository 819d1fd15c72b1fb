"""The flat messages that are signed, recorded or heading a snapshot, as frozen values.

Fields, limits and meaning: protos/govbus/exchange/v1 and protos/govbus/edge/v1, in the order of the field numbers. A
value says nothing about trust: encoding and decoding (native.codec) judge its form, verification is elsewhere.
"""

from dataclasses import dataclass

__all__ = [
    "Admission",
    "GateKey",
    "Receipt",
    "Refusal",
    "RequestHeader",
    "ResponseHeader",
    "Signature",
    "SnapshotHeader",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeader:
    """What a client asks, bound to the body; signed under govbus/request/v1."""

    request_id: bytes
    client: str
    provider: str
    broker: str
    method: str
    body_commitment: bytes
    issued_at_ms: int
    not_after_ms: int
    purpose: str
    case_id: str
    grant_id: str
    official: str = ""
    on_behalf_of: str = ""
    official_token_digest: bytes = b""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseHeader:
    """What a provider answered, bound to the request; signed under govbus/response/v1."""

    request_digest: bytes
    provider: str
    body_commitment: bytes
    message_count: int = 0
    grpc_status: int = 0
    grpc_message_digest: bytes = b""
    details_digest: bytes = b""
    time_ms: int
    subject_handles: bytes = b""
    subject_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A batch signature with one leaf's inclusion path."""

    key_id: bytes
    algorithm: int = 1
    size: int = 1
    index: int = 0
    path: bytes = b""
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The broker's statement that a request was checked and its intent is durable; signed under govbus/admission/v1."""

    entry_salt: bytes
    broker: str
    sequence: int
    intent_time_ms: int
    snapshot_version: int
    request_digest: bytes
    request_signature_digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The broker's statement how an admitted call ended; signed under govbus/receipt/v1."""

    entry_salt: bytes
    broker: str
    intent_sequence: int
    outcome_sequence: int
    intent_time_ms: int
    outcome_time_ms: int
    snapshot_version: int
    request_digest: bytes
    response_digest: bytes = b""
    response_signature_digest: bytes = b""
    outcome: int
    reason: int = 0
    messages_released: int = 0
    bytes_released: int = 0
    released_commitment: bytes = b""
    merge_deadline_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateKey:
    """Certifies the key of a gate process; signed by the broker's signing key under govbus/gatekey/v1."""

    broker: str
    public_key: bytes
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The journal's record of a request refused after its signature was verified."""

    entry_salt: bytes
    broker: str
    sequence: int
    time_ms: int
    snapshot_version: int
    request_digest: bytes
    request_signature_digest: bytes
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotHeader:
    """Heads a policy snapshot; signed by the pinned policy key under govbus/snapshot/v1."""

    trust_domain: str
    version: int
    log_position: int = 0
    created_at_ms: int
    alarm_after_ms: int
    refuse_after_ms: int
    scope: str
    tables_digest: bytes
    tables_size: int
