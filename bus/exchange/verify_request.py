"""Who asks, and may they: checks 2-8 and the body of check 10 of protocol.md 4, for broker, provider and court alike.

    bytes --parse_request (2)--> UnverifiedRequest --verify_request (3-6)--> VerifiedRequest --permit (8)--> Permit
    Permit --verify_body (10)--> nothing, or RequestRefused

Check 1 (the connection) and check 7 (the replay table) belong to whoever holds a connection and a table; 7 comes
between `verify_request` and `permit`. Numbers in the comments are the protocol's. Each step takes the type that the
step before gave, so none can be left out. Bytes and times are arguments; refusals are RequestRefused(reason).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from bus.exchange.verify_batch import SignatureFailure, SignatureRefused, verify_by_owner
from bus.exchange.view import GrantRecord, MethodRecord, TrustView
from native.batch import SignatureCache
from native.codec import CodecError, decode_request_header, decode_signature
from native.digest import REQUEST_TYPE, body_commitment, header_digest
from native.headers import RequestHeader, Signature

__all__ = [
    "FRESH_MS",
    "Expected",
    "Permit",
    "UnverifiedRequest",
    "VerifiedRequest",
    "parse_request",
    "permit",
    "verify_body",
    "verify_request",
]

FRESH_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class UnverifiedRequest:
    """A request's header, canonical but unproven, beside the bytes that travelled."""

    header: RequestHeader
    header_bytes: bytes
    signature: Signature
    signature_bytes: bytes
    salt: bytes
    digest: bytes


@dataclass(frozen=True, slots=True)
class Expected:
    """What the header must name here. None: whoever checks is not bound to one."""

    path: str
    broker: str
    client: str | None = None
    provider: str | None = None


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A fresh request that its client signed. Not yet known to be unseen, nor permitted."""

    header: RequestHeader
    header_bytes: bytes
    signature_bytes: bytes
    salt: bytes
    digest: bytes
    method: MethodRecord | None


@dataclass(frozen=True, slots=True)
class Permit:
    """A verified request and the grant that permits it."""

    request: VerifiedRequest
    method: MethodRecord
    grant: GrantRecord
    snapshot_version: int


def parse_request(found: Mapping[str, bytes]) -> UnverifiedRequest:
    """(2) Header and signature from the metadata of `take_request`, canonical or refused."""
    header_bytes, signature_bytes = found[metadata.REQUEST], found[metadata.REQUEST_SIGNATURE]
    return UnverifiedRequest(
        header=_decoded(decode_request_header, header_bytes, metadata.REQUEST),
        header_bytes=header_bytes,
        signature=_decoded(decode_signature, signature_bytes, metadata.REQUEST_SIGNATURE),
        signature_bytes=signature_bytes,
        salt=found[metadata.REQUEST_SALT],
        digest=header_digest(REQUEST_TYPE, header_bytes),
    )


def verify_request(
    request: UnverifiedRequest, expected: Expected, trust: TrustView, now_ms: int, cache: SignatureCache | None
) -> VerifiedRequest:
    """(3)-(6): addressed here, fresh, and signed by its client; RequestRefused otherwise."""
    header = request.header
    _verify_addressing(header, expected)
    method = trust.method(header.method)
    if method is not None and method.client_stream:
        raise RequestRefused(Reason.STREAM_NOT_SUPPORTED)
    _verify_time(header, method, now_ms)
    verify_client_signature(request, trust, now_ms, cache)
    return VerifiedRequest(
        header=header,
        header_bytes=request.header_bytes,
        signature_bytes=request.signature_bytes,
        salt=request.salt,
        digest=request.digest,
        method=method,
    )


def verify_client_signature(
    request: UnverifiedRequest, trust: TrustView, at_ms: int, cache: SignatureCache | None
) -> None:
    """(5) and (6): the header's client signed these bytes with a key valid at `at_ms`."""
    try:
        verify_by_owner(
            REQUEST_TYPE,
            request.header_bytes,
            request.signature,
            key=trust.key(request.signature.key_id),
            owner=request.header.client,
            at_ms=at_ms,
            cache=cache,
        )
    except SignatureRefused as error:
        raise RequestRefused(_SIGNATURE_REASONS[error.failure]) from error


def permit(request: VerifiedRequest, trust: TrustView, now_ms: int) -> Permit:
    """(8) The named grant permits exactly this client, provider, method, purpose, now."""
    header = request.header
    client, provider = trust.subsystem(header.client), trust.subsystem(header.provider)
    if client is None or provider is None or request.method is None:
        # An unknown service and one without a grant answer alike (protocol.md 5).
        raise RequestRefused(Reason.NO_GRANT)
    if not client.active or not provider.active:
        raise RequestRefused(Reason.SUBSYSTEM_SUSPENDED)
    grant = trust.permitting_grant(
        header.grant_id, header.client, header.provider, header.method, header.purpose, now_ms
    )
    if grant is None:
        raise RequestRefused(Reason.NO_GRANT)
    return Permit(request, request.method, grant, trust.version)


def verify_body(permitted: Permit, frames_digest: bytes) -> None:
    """(10) The frames that came are the ones the header commits to."""
    request = permitted.request
    if body_commitment(request.salt, frames_digest) != request.header.body_commitment:
        raise RequestRefused(Reason.BODY_COMMITMENT_MISMATCH)


_Header = TypeVar("_Header")


def _decoded(decode: Callable[[bytes], _Header], data: bytes, key: str) -> _Header:
    try:
        return decode(data)
    except CodecError as error:
        raise RequestRefused(Reason(error.reason), {"field": error.field} if error.field else {"key": key}) from error


def _verify_addressing(header: RequestHeader, expected: Expected) -> None:
    """(3) Byte for byte, no normalisation."""
    if expected.client is not None and header.client != expected.client:
        raise RequestRefused(Reason.CLIENT_MISMATCH)
    if header.broker != expected.broker:
        raise RequestRefused(Reason.WRONG_BROKER)
    if header.method != expected.path:
        raise RequestRefused(Reason.METHOD_MISMATCH)
    if expected.provider is not None and header.provider != expected.provider:
        # Not ours to serve: the same answer as for a service that nobody offers here.
        raise RequestRefused(Reason.NO_GRANT)


def _verify_time(header: RequestHeader, method: MethodRecord | None, now_ms: int) -> None:
    """(4) Fresh, and a lifetime that the method allows."""
    if abs(now_ms - header.issued_at_ms) > FRESH_MS:
        raise RequestRefused(Reason.REQUEST_NOT_FRESH, {"server_time_ms": str(now_ms)})
    lifetime = header.not_after_ms - header.issued_at_ms
    if lifetime <= 0 or header.not_after_ms < now_ms:
        raise RequestRefused(Reason.LIFETIME_INVALID)
    if method is not None and lifetime > method.max_lifetime_ms:
        raise RequestRefused(Reason.LIFETIME_INVALID)


_SIGNATURE_REASONS: Final = {
    SignatureFailure.KEY_UNKNOWN: Reason.KEY_UNKNOWN,
    SignatureFailure.KEY_NOT_OF_OWNER: Reason.KEY_NOT_OF_CLIENT,
    SignatureFailure.KEY_NOT_VALID: Reason.KEY_NOT_VALID,
    SignatureFailure.PATH: Reason.BATCH_PATH_INVALID,
    SignatureFailure.SIGNATURE: Reason.SIGNATURE_INVALID,
}
