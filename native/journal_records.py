"""What a journal holds, as values: each kind of record, and the proof that a group's commit gives for its leaves.

Parses payloads that native.journal found intact; decides nothing about who may have written them. Bytes and meaning:
docs/formats.md, "Journal"; Admission, Receipt and Refusal: protos/govbus/exchange/v1.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from native.codec import (
    CodecError,
    decode_admission,
    decode_gate_key,
    decode_receipt,
    decode_refusal,
    decode_request_header,
    encode_signature,
)
from native.digest import leaf_hash
from native.headers import Admission, GateKey, Receipt, Refusal, RequestHeader, Signature
from native.merkle import path

__all__ = [
    "CleanStop",
    "Commit",
    "Group",
    "Intent",
    "JournalDamaged",
    "Kind",
    "Outcome",
    "ProcessStart",
    "Record",
    "RefusedRequest",
    "SnapshotServed",
    "parse_record",
]

ADMISSION_TYPE = "govbus/admission/v1"
RECEIPT_TYPE = "govbus/receipt/v1"


class Kind(IntEnum):
    """Kinds of records; 1 to 3 are those of ledger entries."""

    INTENT = 1
    OUTCOME = 2
    REFUSAL = 3
    COMMIT = 16
    START = 17
    SNAPSHOT = 18
    STOP = 19


class JournalDamaged(Exception):
    """A journal is not what was written. `reason`: segment, order, record, chain, commit, payload, signature; with the
    segment's name and the offset in it."""

    def __init__(self, reason: str, segment: str, offset: int) -> None:
        super().__init__(
            f"journal damaged ({reason}) in {segment} at byte {offset}; keep the files, compare with a copy"
        )
        self.reason = reason
        self.segment = segment
        self.offset = offset


@dataclass(frozen=True, slots=True)
class Record:
    """An intact record: head and payload."""

    sequence: int
    kind: Kind
    payload: bytes
    chain: bytes
    segment: str
    offset: int

    @property
    def size(self) -> int:
        return 52 + len(self.payload)


@dataclass(frozen=True, slots=True)
class Intent:
    """An admitted request. The bytes are those that travelled. `counted_bytes` is the size of its frames when it counts
    in the day of the grant that it names (check 9), else None."""

    admission: Admission
    admission_bytes: bytes
    request: RequestHeader
    request_bytes: bytes
    signature_bytes: bytes
    counted_bytes: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an admitted request ended; response and signature are empty unless it is DONE."""

    receipt: Receipt
    receipt_bytes: bytes
    response_bytes: bytes
    signature_bytes: bytes


@dataclass(frozen=True, slots=True)
class RefusedRequest:
    """A request refused after its signature was verified."""

    refusal: Refusal
    refusal_bytes: bytes
    request: RequestHeader
    request_bytes: bytes
    signature_bytes: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Ends a group. Without leaves `root` is the chain of the record before it, signed with size 0."""

    records: int
    leaves: int
    time_ms: int
    key_id: bytes
    root: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ProcessStart:
    """A gate process began, with this key and these floors."""

    gate_key: GateKey
    gate_key_bytes: bytes
    gate_key_signature: bytes
    snapshot_version: int
    log_position: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class SnapshotServed:
    """From here on nothing below this version and position is served."""

    snapshot_version: int
    log_position: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class CleanStop:
    """The gate settled everything and stopped."""

    time_ms: int


Entry = Intent | Outcome | RefusedRequest | Commit | ProcessStart | SnapshotServed | CleanStop


@dataclass(frozen=True, slots=True)
class Group:
    """Records that became durable together, without their commit."""

    records: tuple[Record, ...]
    commit: Commit

    def leaves(self) -> list[tuple[Record, bytes]]:
        """Intents and outcomes in order, with their leaf hashes."""
        return [
            (r, leaf_hash(ADMISSION_TYPE if r.kind is Kind.INTENT else RECEIPT_TYPE, _parts(r, 4)[0]))
            for r in self.records
            if r.kind in (Kind.INTENT, Kind.OUTCOME)
        ]

    def signature_of(self, sequence: int) -> bytes:
        """The encoded Signature over the Admission or Receipt with this sequence, as it was given out."""
        leaves = self.leaves()
        index = [r.sequence for r, _ in leaves].index(sequence)
        return encode_signature(
            Signature(
                key_id=self.commit.key_id,
                algorithm=1,
                size=len(leaves),
                index=index,
                path=b"".join(path([leaf for _, leaf in leaves], index)),
                value=self.commit.value,
            )
        )


def _parts(record: Record, most: int) -> list[bytes]:
    """The u16-prefixed parts at the front of a payload, up to `most`."""
    parts: list[bytes] = []
    at = 0
    while len(parts) < most and at < len(record.payload):
        if at + 2 > len(record.payload):
            raise JournalDamaged("payload", record.segment, record.offset)
        (length,) = struct.unpack_from("<H", record.payload, at)
        at += 2 + length
        if at > len(record.payload):
            raise JournalDamaged("payload", record.segment, record.offset)
        parts.append(record.payload[at - length : at])
    return parts


def _exactly(record: Record, count: int) -> Sequence[bytes]:
    parts = _parts(record, count)
    if len(parts) != count or sum(2 + len(p) for p in parts) != len(record.payload):
        raise JournalDamaged("payload", record.segment, record.offset)
    return parts


def _parse_commit(record: Record) -> Commit:
    records, leaves, time_ms, key_id, root, value = struct.unpack("<IIq32s32s64s", record.payload)
    return Commit(records, leaves, time_ms, key_id, root, value)


def _parse_start(record: Record) -> ProcessStart:
    key, signature = _parts(record, 2)
    floors = struct.unpack("<QQq", record.payload[4 + len(key) + len(signature) :])
    return ProcessStart(decode_gate_key(key), key, signature, *floors)


def _parse(record: Record) -> Entry:
    match record.kind:
        case Kind.INTENT:
            admission, request, signature, counted = _exactly(record, 4)
            return Intent(
                decode_admission(admission),
                admission,
                decode_request_header(request),
                request,
                signature,
                struct.unpack("<Q", counted)[0] if counted else None,
            )
        case Kind.OUTCOME:
            receipt, response, signature = _exactly(record, 3)
            return Outcome(decode_receipt(receipt), receipt, response, signature)
        case Kind.REFUSAL:
            refusal, request, signature = _exactly(record, 3)
            return RefusedRequest(decode_refusal(refusal), refusal, decode_request_header(request), request, signature)
        case Kind.COMMIT:
            return _parse_commit(record)
        case Kind.START:
            return _parse_start(record)
        case Kind.SNAPSHOT:
            return SnapshotServed(*struct.unpack("<QQq", record.payload))
        case Kind.STOP:
            return CleanStop(*struct.unpack("<q", record.payload))


def parse_record(record: Record) -> Entry:
    """The value of an intact record. Raises JournalDamaged("payload") when its payload is not what its kind says."""
    try:
        return _parse(record)
    except (CodecError, struct.error, ValueError):
        raise JournalDamaged("payload", record.segment, record.offset) from None
