"""Signer: the one thing that signs headers in a subsystem's name, wherever its key lives.

A signer gives 64 bytes r || s, ECDSA P-256 over SHA-256(message), s in the lower half
(protocol.md 2): there is exactly one accepted form, so a signature cannot be respelled.
FileSigner keeps its key in a PKCS#8 file of mode 0600. A token (PKCS#11) will be another
class with the same three members; nothing here or above knows which one it holds.

Signers may be used from several threads, and `sign` may block: a slow token is hidden by
signing batches (native.batch), not by making every caller asynchronous.
"""

from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from native.ecdsa import PrivateKey
from pki import files
from pki.keys import (
    encode_private_key,
    encode_private_key_der,
    encode_spki,
    generate_private_key,
    load_private_key,
    signing_key_id,
    verify_signing_key_spki,
)

__all__ = ["FileSigner", "KeySigner", "Signer"]


class Signer(Protocol):
    """A signing key that can be used but not read."""

    @property
    def key_id(self) -> bytes:
        """SHA-256(SPKI), 32 bytes."""

    @property
    def public_point(self) -> bytes:
        """The uncompressed public point, 65 bytes."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes r || s with low s over SHA-256(message)."""


class KeySigner:
    """A signer over a private key in this process's memory."""

    __slots__ = ("_key", "key_id", "public_point", "spki")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = PrivateKey.from_der(encode_private_key_der(key))
        self.spki = encode_spki(key.public_key())
        self.public_point = verify_signing_key_spki(self.spki)
        self.key_id = signing_key_id(self.spki)

    def sign(self, message: bytes) -> bytes:
        """64 bytes r || s with low s over SHA-256(message)."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(key_id={self.key_id.hex()})"


class FileSigner(KeySigner):
    """A signer whose key lives in a private file."""

    __slots__ = ()

    @classmethod
    def load(cls, path: Path) -> "FileSigner":
        """Read the key; FileNotFoundError, FilePermissionError or ProfileError otherwise."""
        return cls(load_private_key(files.read_private(path)))

    @classmethod
    def create(cls, path: Path) -> "FileSigner":
        """Make a fresh key at `path`; FileExistsError if anything is there already.

        A signing key belongs to one subsystem for ever, so none is ever overwritten.
        """
        key = generate_private_key()
        files.create_atomic(path, encode_private_key(key))
        return cls(key)

    @classmethod
    def load_or_create(cls, path: Path) -> "FileSigner":
        """The key at `path`, made first if there is none; safe when two processes start."""
        try:
            return cls.load(path)
        except FileNotFoundError:
            try:
                return cls.create(path)
            except FileExistsError:
                return cls.load(path)
