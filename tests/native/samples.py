"""One whole value of each flat message, and both codecs behind one shape, for the tests of this room."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from native import _codec_py as twin
from native import codec as fast
from native.headers import (
    Admission,
    GateKey,
    Receipt,
    Refusal,
    RequestHeader,
    ResponseHeader,
    Signature,
    SnapshotHeader,
)

CLIENT = "spiffe://gov.example/gov/moj/civilstatus"
PROVIDER = "spiffe://gov.example/gov/mps/population"
BROKER = "spiffe://gov.example/gov/ndc/broker-1"
NOW = 1_800_000_000_000


def octets(first: int, n: int = 32) -> bytes:
    """n different bytes that begin with `first`."""
    return bytes((first + i) & 255 for i in range(n))


REQUEST = RequestHeader(
    request_id=octets(1, 16),
    client=CLIENT,
    provider=PROVIDER,
    broker=BROKER,
    method="/vn.population.v1.PopulationService/GetPerson",
    body_commitment=octets(2),
    issued_at_ms=NOW,
    not_after_ms=NOW + 10_000,
    purpose="birth.registration",
    case_id="HT-2026-000123",
    grant_id="grant-7",
    official="off-4f2a",
    idempotency_key="birth-000123",
)
RESPONSE = ResponseHeader(
    request_digest=octets(3),
    provider=PROVIDER,
    body_commitment=octets(4),
    message_count=1,
    grpc_status=5,
    grpc_message_digest=octets(5),
    details_digest=octets(6),
    time_ms=NOW + 5,
)
SIGNATURE = Signature(key_id=octets(7), size=5, index=2, path=octets(8, 96), value=octets(9, 64))
ADMISSION = Admission(
    entry_salt=octets(10),
    broker=BROKER,
    sequence=300,
    intent_time_ms=NOW,
    snapshot_version=2**64 - 1,
    request_digest=octets(11),
    request_signature_digest=octets(12),
)
RECEIPT = Receipt(
    entry_salt=octets(13),
    broker=BROKER,
    intent_sequence=300,
    outcome_sequence=301,
    intent_time_ms=NOW,
    outcome_time_ms=NOW + 7,
    snapshot_version=4,
    request_digest=octets(14),
    response_digest=octets(15),
    response_signature_digest=octets(16),
    outcome=1,
    messages_released=1,
    bytes_released=517,
    released_commitment=octets(17),
    merge_deadline_ms=NOW + 1000,
)
GATE_KEY = GateKey(broker=BROKER, public_key=octets(4, 65), not_before_ms=NOW, not_after_ms=NOW + 86_400_000)
REFUSAL = Refusal(
    entry_salt=octets(18),
    broker=BROKER,
    sequence=302,
    time_ms=NOW,
    snapshot_version=4,
    request_digest=octets(19),
    request_signature_digest=octets(20),
    reason=80,
)
SNAPSHOT = SnapshotHeader(
    trust_domain="gov.example",
    version=4,
    log_position=17,
    created_at_ms=NOW,
    alarm_after_ms=3_600_000,
    refuse_after_ms=86_400_000,
    scope="broker",
    tables_digest=octets(21),
    tables_size=4096,
)


@dataclass(frozen=True)
class Kind:
    """A message: its name in the codecs and a whole value of it."""

    name: str
    sample: Any

    @property
    def fields(self) -> list[str]:
        """Field names in the order of their numbers."""
        return [each.name for each in fields(self.sample)]


KINDS = [
    Kind("request_header", REQUEST),
    Kind("response_header", RESPONSE),
    Kind("signature", SIGNATURE),
    Kind("admission", ADMISSION),
    Kind("receipt", RECEIPT),
    Kind("gate_key", GATE_KEY),
    Kind("refusal", REFUSAL),
    Kind("snapshot_header", SNAPSHOT),
]


@dataclass(frozen=True)
class Codec:
    """One of the two implementations."""

    name: str
    encode: Callable[[Kind, Any], bytes]
    decode: Callable[[Kind, bytes], Any]
    encode_base64: Callable[[bytes], bytes]
    decode_base64: Callable[[bytes], bytes]


def fast_call(verb: str, kind: Kind, value: Any) -> Any:
    """The compiled function of that name."""
    return getattr(fast, f"{verb}_{kind.name}")(value)


def twin_encode(kind: Kind, value: Any) -> bytes:
    """The twin has one encoder for all."""
    return twin.encode(type(kind.sample), value)


def twin_decode(kind: Kind, data: bytes) -> Any:
    """The twin has one parser for all."""
    return type(kind.sample)(**twin.parse(type(kind.sample), data))


FAST = Codec("fast", partial(fast_call, "encode"), partial(fast_call, "decode"), fast.encode_base64, fast.decode_base64)
TWIN = Codec("twin", twin_encode, twin_decode, twin.encode_base64, twin.decode_base64)
CODECS = [FAST, TWIN]
