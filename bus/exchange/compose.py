"""What a client says in a request header, a provider in a response header. Pure: clock and chance come in.

Request ids are UUIDv7 (RFC 9562 5.7) with all 74 random bits fresh each time, retries included: an id that was seen is
a replay. A request lives as long as its caller waits, within the method's maximum, but not under 5 s, so that a clock a
few seconds off does not refuse every short call.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from bus.exchange.verify_response import Answer
from native.codec import CodecError, encode_request_header, encode_response_header
from native.digest import FrameHasher, body_commitment
from native.headers import RequestHeader, ResponseHeader

__all__ = ["Destination", "Statement", "answer_of", "compose_request", "compose_response", "frames_of", "request_id"]

MIN_LIFETIME_MS: Final = 5_000
MAX_MESSAGE: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Destination:
    """Whom a request is for, through which broker, under which grant."""

    provider: str
    broker: str
    method: str
    grant_id: str
    max_lifetime_ms: int


@dataclass(frozen=True, slots=True)
class Statement:
    """What the caller states: who, why, about which case."""

    client: str
    purpose: str
    case_id: str
    official: str
    idempotency_key: str


def request_id(now_ms: int, random: bytes) -> bytes:
    """UUIDv7 of `now_ms` and 10 random bytes, of which 74 bits are used."""
    tail = int.from_bytes(random[:10], "big") & ((1 << 74) - 1)
    high, low = tail >> 62, tail & ((1 << 62) - 1)
    value = (now_ms & ((1 << 48) - 1)) << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low
    return value.to_bytes(16, "big")


def frames_of(message: bytes) -> FrameHasher:
    """A hasher that has seen `message` as the one frame gRPC makes of it."""
    hasher = FrameHasher(MAX_MESSAGE)
    add_frame(hasher, message)
    return hasher


def add_frame(hasher: FrameHasher, message: bytes) -> None:
    """Let `hasher` see `message` as gRPC frames it: flag 0, length, message."""
    hasher.update(b"\0" + len(message).to_bytes(4, "big"))
    hasher.update(message)


def compose_request(
    statement: Statement,
    destination: Destination,
    *,
    message: bytes,
    salt: bytes,
    random: bytes,
    now_ms: int,
    timeout_ms: int,
) -> tuple[bytes, bytes]:
    """The request id and the encoded RequestHeader; RequestRefused when a value is not one that may stand in it."""
    if len(message) > MAX_MESSAGE:
        raise RequestRefused(Reason.BODY_TOO_LARGE)
    identifier = request_id(now_ms, random)
    header = RequestHeader(
        request_id=identifier,
        client=statement.client,
        provider=destination.provider,
        broker=destination.broker,
        method=destination.method,
        body_commitment=body_commitment(salt, frames_of(message).finish()),
        issued_at_ms=now_ms,
        not_after_ms=now_ms + min(destination.max_lifetime_ms, max(timeout_ms, MIN_LIFETIME_MS)),
        purpose=statement.purpose,
        case_id=statement.case_id,
        grant_id=destination.grant_id,
        official=statement.official,
        idempotency_key=statement.idempotency_key,
    )
    try:
        return identifier, encode_request_header(header)
    except CodecError as error:
        raise RequestRefused(Reason(error.reason), {"field": error.field or ""}) from error


def answer_of(hasher: FrameHasher, grpc_status: int, grpc_message: bytes, status_details: bytes) -> Answer:
    """What was answered, once no more messages follow."""
    count, size = hasher.messages, hasher.bytes
    return Answer(hasher.finish(), count, size, grpc_status, grpc_message, status_details)


def compose_response(request_digest: bytes, provider: str, answer: Answer, salt: bytes, now_ms: int) -> bytes:
    """The encoded ResponseHeader over `answer`."""
    return encode_response_header(
        ResponseHeader(
            request_digest=request_digest,
            provider=provider,
            body_commitment=body_commitment(salt, answer.frames_digest),
            message_count=answer.message_count,
            grpc_status=answer.grpc_status,
            grpc_message_digest=sha256(answer.grpc_message).digest() if answer.grpc_message else b"",
            details_digest=sha256(answer.status_details).digest() if answer.status_details else b"",
            time_ms=now_ms,
        )
    )
