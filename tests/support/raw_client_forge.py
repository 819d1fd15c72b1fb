"""Requests made by hand: right but for what a test changes, signed by the right key or another.

`Request` holds everything that travels as bytes, so that a test can break each of them on its own; nothing here keeps a
caller from making what no SDK would.
"""

import base64
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bus.exchange import metadata
from bus.exchange.compose import request_id
from native.batch import sign_batch
from native.codec import encode_request_header
from native.digest import REQUEST_TYPE, FrameHasher, body_commitment, frame, header_digest
from native.headers import RequestHeader
from pki.signer import Signer
from tests.support.raw_client import Headers

__all__ = ["Request", "base64_text", "commitment_of", "sign_together"]


def base64_text(data: bytes) -> str:
    """As a `-bin` value travels: unpadded."""
    return base64.b64encode(data).rstrip(b"=").decode("ascii")


def commitment_of(salt: bytes, frames: bytes) -> bytes:
    """The commitment to bytes that need not be whole frames."""
    hasher = FrameHasher()
    hasher.update(frames)
    return body_commitment(salt, hasher.finish())


@dataclass(frozen=True)
class Request:
    """One request as it travels."""

    header: RequestHeader
    header_bytes: bytes
    signature: bytes
    salt: bytes
    body: bytes
    path: str

    @classmethod
    def make(
        cls,
        signer: Signer,
        base: Mapping[str, Any],
        *,
        message: bytes = b"\x0a\x02hi",
        body: bytes | None = None,
        lifetime_ms: int = 20_000,
        **changes: Any,
    ) -> "Request":
        """A fresh request of `base` (client, provider, ...) with fields changed; `body` replaces the one frame."""
        made = cls.unsigned(base, message=message, body=body, lifetime_ms=lifetime_ms, **changes)
        return made.signed(signer)

    @classmethod
    def unsigned(
        cls,
        base: Mapping[str, Any],
        *,
        message: bytes = b"\x0a\x02hi",
        body: bytes | None = None,
        lifetime_ms: int = 20_000,
        **changes: Any,
    ) -> "Request":
        """As `make`, before it is signed."""
        frames = frame(message) if body is None else body
        salt, now = os.urandom(32), time.time_ns() // 1_000_000
        fields: dict[str, Any] = {
            "request_id": request_id(now, os.urandom(10)),
            "body_commitment": commitment_of(salt, frames) if body is None else bytes(32),
            "issued_at_ms": now,
            "not_after_ms": now + lifetime_ms,
            **base,
            **changes,
        }
        header = RequestHeader(**fields)
        return cls(header, encode_request_header(header), b"", salt, frames, header.method)

    def signed(self, signer: Signer) -> "Request":
        """Alone in its batch."""
        (signature,) = sign_batch(signer, [(REQUEST_TYPE, self.header_bytes)])
        return replace(self, signature=signature)

    def but(self, **changes: Any) -> "Request":
        """The same with these bytes changed."""
        return replace(self, **changes)

    @property
    def id(self) -> bytes:
        return self.header.request_id

    @property
    def digest(self) -> bytes:
        return header_digest(REQUEST_TYPE, self.header_bytes)

    @property
    def metadata(self) -> Headers:
        """The three keys."""
        return [
            (metadata.REQUEST, base64_text(self.header_bytes)),
            (metadata.REQUEST_SIGNATURE, base64_text(self.signature)),
            (metadata.REQUEST_SALT, base64_text(self.salt)),
        ]

    @property
    def pairs(self) -> Sequence[tuple[str, str | bytes]]:
        """The three keys as grpcio takes them."""
        return (
            (metadata.REQUEST, self.header_bytes),
            (metadata.REQUEST_SIGNATURE, self.signature),
            (metadata.REQUEST_SALT, self.salt),
        )

    def headers(
        self, *more: tuple[str, str], without: Iterable[str] = (), timeout: str | None = "10S", path: str | None = None
    ) -> Headers:
        """Everything of the header frame, gRPC's own included; `without` leaves keys out, `more` is put behind."""
        found = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", path or self.path),
            (":authority", "broker"),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            *((("grpc-timeout", timeout),) if timeout else ()),
            *self.metadata,
        ]
        return [pair for pair in found if pair[0] not in set(without)] + list(more)


def sign_together(signer: Signer, requests: Sequence[Request]) -> list[Request]:
    """One signature over all of them."""
    signatures = sign_batch(signer, [(REQUEST_TYPE, one.header_bytes) for one in requests])
    return [replace(one, signature=signature) for one, signature in zip(requests, signatures, strict=True)]
