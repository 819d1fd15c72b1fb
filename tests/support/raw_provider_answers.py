"""What a raw provider answers: the honest answer as a draft, and the many ways of spoiling one part of it.

Every draft is signed last, so that a spoilt part is what differs and nothing else.
"""

import asyncio
import base64
import os
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from bus.exchange import metadata
from bus.exchange.verify_response import encode_grpc_message
from native.batch import sign_batch
from native.codec import encode_response_header
from native.digest import REQUEST_TYPE, RESPONSE_TYPE, FrameHasher, body_commitment, frame, header_digest
from native.headers import ResponseHeader
from pki.signer import Signer
from tests.support.raw_client import Headers
from tests.support.raw_client_forge import base64_text

if TYPE_CHECKING:
    from tests.support.raw_provider import ProviderStream

__all__ = ["Draft", "answering", "hang", "honest", "messages_of", "until", "waiting"]

OPENING: Headers = [(":status", "200"), ("content-type", "application/grpc")]


def decoded(text: str) -> bytes:
    """A `-bin` value."""
    return base64.b64decode(text + "=" * (-len(text) % 4))


def messages_of(body: bytes) -> list[bytes]:
    """The messages in whole frames."""
    found = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        found.append(body[5 : 5 + size])
        body = body[5 + size :]
    return found


@dataclass(frozen=True)
class Draft:
    """One answer before it is signed. Fields of the response header follow from it unless `claims` says otherwise."""

    request_digest: bytes
    provider: str
    signer: Signer
    body: bytes
    status: int = 0
    message: str = ""
    details: bytes = b""
    headers: Headers = field(default_factory=lambda: list(OPENING))
    extra: Headers = field(default_factory=list)
    left_out: frozenset[str] = frozenset()
    claims: dict[str, Any] = field(default_factory=dict)
    spoil: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    """By metadata key: what is done to the bytes after signing."""

    @classmethod
    def of(cls, headers: Headers, body: bytes, provider: str, signer: Signer) -> "Draft":
        """The echo."""
        request = next((value for name, value in headers if name == metadata.REQUEST), "")
        return cls(header_digest(REQUEST_TYPE, decoded(request)), provider, signer, body)

    def but(self, **changes: Any) -> "Draft":
        return replace(self, **changes)

    def trailers(self) -> Headers:
        """Status, the signed parts and whatever is extra."""
        salt = os.urandom(32)
        header = encode_response_header(replace(self._header(salt), **self.claims))
        (signature,) = sign_batch(self.signer, [(RESPONSE_TYPE, header)])
        parts = {metadata.RESPONSE: header, metadata.RESPONSE_SIGNATURE: signature, metadata.RESPONSE_SALT: salt}
        signed = [
            (key, base64_text(self.spoil.get(key, bytes)(value)))
            for key, value in parts.items()
            if key not in self.left_out
        ]
        status = [("grpc-status", str(self.status))]
        if self.message:
            status.append(("grpc-message", encode_grpc_message(self.message).decode()))
        if self.details:
            status.append((metadata.STATUS_DETAILS, base64_text(self.details)))
        return [pair for pair in status if pair[0] not in self.left_out] + signed + self.extra

    def _header(self, salt: bytes) -> ResponseHeader:
        hasher = FrameHasher()
        hasher.update(self.body)
        text = encode_grpc_message(self.message)
        return ResponseHeader(
            request_digest=self.request_digest,
            provider=self.provider,
            body_commitment=body_commitment(salt, hasher.finish()),
            message_count=hasher.messages,
            grpc_status=self.status,
            grpc_message_digest=sha256(text).digest() if text else b"",
            details_digest=sha256(self.details).digest() if self.details else b"",
            time_ms=time.time_ns() // 1_000_000,
        )


async def honest(stream: "ProviderStream") -> None:
    """Echo; a method called Watch echoes three times, with a moment in between."""
    draft = stream.draft
    if dict(stream.headers)[":path"].endswith("/Watch"):
        draft = draft.but(body=draft.body * 3)
    await stream.send(draft)


async def hang(stream: "ProviderStream") -> None:
    """Say nothing until the broker gives up."""
    await asyncio.wait_for(stream.reset.wait(), 30)


def waiting(begun: threading.Event, go: threading.Event) -> Callable[["ProviderStream"], Awaitable[None]]:
    """The honest answer, once the test says so."""

    async def answer(stream: "ProviderStream") -> None:
        begun.set()
        await until(go)
        await honest(stream)

    return answer


async def until(event: threading.Event) -> None:
    """Wait for an event of another thread."""
    while not event.is_set():  # noqa: ASYNC110 - the event is another thread's
        await asyncio.sleep(0.005)


def answering(change: Callable[[Draft], Draft]) -> Callable[["ProviderStream"], Awaitable[None]]:
    """The honest answer with something changed."""

    async def answer(stream: "ProviderStream") -> None:
        await stream.send(change(stream.draft))

    return answer


def first_frame(body: bytes) -> bytes:
    """One frame of the same message."""
    return frame(messages_of(body)[0])
