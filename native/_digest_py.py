"""The readable twin of native.digest: the definition in plain Python, held to the same tests.

Never used in production.
"""

import hashlib
from typing import NoReturn

from native.errors import FrameError


def pae(type_: str, body: bytes) -> bytes:
    """DSSE: "DSSEv1" SP len(type) SP type SP len(body) SP body."""
    if not type_.isascii() or not 1 <= len(type_) <= 64:
        raise ValueError("a signed type is 1 to 64 ASCII characters")
    return b"DSSEv1 %d %s %d %s" % (len(type_), type_.encode("ascii"), len(body), body)


def header_digest(type_: str, header: bytes) -> bytes:
    """How receipts, admissions and answers name a header."""
    return hashlib.sha256(pae(type_, header)).digest()


def leaf_hash(type_: str, header: bytes) -> bytes:
    """RFC 9162 2.1.1: a leaf is hashed behind a zero byte."""
    return hashlib.sha256(b"\0" + pae(type_, header)).digest()


def frame(message: bytes) -> bytes:
    """gRPC over HTTP/2, Length-Prefixed-Message: flag 0, four bytes of length, the message."""
    if len(message) > 0xFFFFFFFF:
        raise ValueError("a message is below 4 GiB")
    return b"\0" + len(message).to_bytes(4, "big") + message


def body_commitment(salt: bytes, frames_digest: bytes) -> bytes:
    """SHA-256(salt || SHA-256(frames))."""
    if len(salt) != 32 or len(frames_digest) != 32:
        raise ValueError("salt and digest are 32 bytes each")
    return hashlib.sha256(salt + frames_digest).digest()


class FrameHasher:
    """Keeps what is not yet a whole message, takes messages off its front, hashes what was accepted."""

    def __init__(self, max_message: int | None = 4 << 20, max_messages: int | None = None) -> None:
        self._max_message = max_message or 1 << 32
        self._max_messages = max_messages or 1 << 64
        self._hash = hashlib.sha256()
        self._rest = b""
        self._failed: str | None = None
        self._bytes = 0
        self._messages = 0

    def update(self, chunk: bytes) -> None:
        """Takes a piece; FrameError at the first thing wrong, and ever after."""
        if self._failed:
            raise FrameError(self._failed)
        self._rest += chunk
        while self._take_message():
            self._messages += 1
        self._hash.update(chunk)
        self._bytes += len(chunk)

    def _take_message(self) -> bool:
        """Removes one whole message from the front; judges as much of a prefix as is there."""
        if not self._rest:
            return False
        if self._rest[0] == 1:
            self._fail("COMPRESSION_NOT_SUPPORTED")
        if self._rest[0] != 0:
            self._fail("FRAME_INVALID")
        if self._messages == self._max_messages:
            self._fail("MESSAGE_COUNT_INVALID")
        if len(self._rest) < 5:
            return False
        length = int.from_bytes(self._rest[1:5], "big")
        if length > self._max_message:
            self._fail("BODY_TOO_LARGE")
        if len(self._rest) < 5 + length:
            return False
        self._rest = self._rest[5 + length :]
        return True

    def _fail(self, reason: str) -> NoReturn:
        self._failed = reason
        raise FrameError(reason)

    def digest(self) -> bytes:
        """SHA-256 of what was taken so far, whole messages or not."""
        if self._failed:
            raise FrameError(self._failed)
        return self._hash.digest()

    def finish(self) -> bytes:
        """SHA-256 of all frames; FrameError inside a message."""
        if self._failed:
            raise FrameError(self._failed)
        if self._rest:
            raise FrameError("FRAME_INVALID")
        return self._hash.digest()

    @property
    def messages(self) -> int:
        """Messages that are complete."""
        return self._messages

    @property
    def bytes(self) -> int:
        """Bytes taken, prefixes included."""
        return self._bytes
