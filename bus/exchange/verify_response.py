"""Is this the provider's answer to this request? Check 11 of protocol.md 4, for broker, client and court alike.

Pure: bytes, keys and times in; VerifiedResponse or ResponseRefused out, whose `step` names what failed first:
parts, encoding, request, provider, status, message text, details, message count, commitment, signature.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from bus.exchange.refusal import ResponseRefused
from bus.exchange.verify_batch import SignatureRefused, verify_by_owner
from bus.exchange.view import TrustView
from native.batch import SignatureCache
from native.codec import CodecError, decode_response_header, decode_signature
from native.digest import RESPONSE_TYPE, body_commitment, header_digest
from native.headers import ResponseHeader

__all__ = ["Answer", "VerifiedResponse", "encode_grpc_message", "verify_response"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What arrived beside the response header: the frames by digest, number and bytes, and how the call ended."""

    frames_digest: bytes
    message_count: int
    size: int
    grpc_status: int
    grpc_message: bytes
    status_details: bytes


@dataclass(frozen=True, slots=True)
class VerifiedResponse:
    """A provider's word, bound to one request."""

    header: ResponseHeader
    header_bytes: bytes
    signature_bytes: bytes
    salt: bytes
    digest: bytes


def encode_grpc_message(text: str) -> bytes:
    """`grpc-message` as it travels: percent-encoded outside visible ASCII and space (gRPC over HTTP/2, Responses)."""
    if text.isascii() and text.isprintable() and "%" not in text:
        return text.encode("ascii")
    return b"".join(
        bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in text.encode("utf-8")
    )


def verify_response(
    found: Mapping[str, bytes],
    answer: Answer,
    *,
    request_digest: bytes,
    provider: str,
    trust: TrustView,
    at_ms: int,
    cache: SignatureCache | None,
) -> VerifiedResponse:
    """The response among the metadata `found`, signed by `provider` for exactly this request and answer."""
    header_bytes = found.get(metadata.RESPONSE)
    signature_bytes = found.get(metadata.RESPONSE_SIGNATURE)
    salt = found.get(metadata.RESPONSE_SALT)
    if header_bytes is None or signature_bytes is None or salt is None or len(salt) != metadata.SALT_BYTES:
        raise ResponseRefused(Reason.PROVIDER_UNSIGNED, "parts")
    try:
        header, signature = decode_response_header(header_bytes), decode_signature(signature_bytes)
    except CodecError as error:
        raise ResponseRefused(Reason.PROVIDER_UNSIGNED, "encoding") from error
    _verify_binding(header, answer, salt, request_digest, provider)
    try:
        verify_by_owner(
            RESPONSE_TYPE,
            header_bytes,
            signature,
            key=trust.key(signature.key_id),
            owner=provider,
            at_ms=at_ms,
            cache=cache,
        )
    except SignatureRefused as error:
        raise ResponseRefused(Reason.RESPONSE_SIGNATURE_INVALID, "signature") from error
    return VerifiedResponse(
        header=header,
        header_bytes=header_bytes,
        signature_bytes=signature_bytes,
        salt=salt,
        digest=header_digest(RESPONSE_TYPE, header_bytes),
    )


def _verify_binding(header: ResponseHeader, answer: Answer, salt: bytes, request_digest: bytes, provider: str) -> None:
    """Every field of the header against what is seen here."""
    checks = (
        ("request", header.request_digest == request_digest),
        ("provider", header.provider == provider),
        ("status", header.grpc_status == answer.grpc_status),
        ("message text", header.grpc_message_digest == _digest(answer.grpc_message)),
        ("details", header.details_digest == _digest(answer.status_details)),
        ("message count", header.message_count == answer.message_count),
        ("commitment", header.body_commitment == body_commitment(salt, answer.frames_digest)),
    )
    for step, holds in checks:
        if not holds:
            raise ResponseRefused(Reason.RESPONSE_MISMATCH, step)


def _digest(value: bytes) -> bytes:
    """As the header has it: empty when there is nothing."""
    return sha256(value).digest() if value else b""
