"""Signed notes: text, an empty line, signature lines. C2SP signed-note, Ed25519 only.

 1. At most 64 KiB of UTF-8, no control character but newline; text and every signature line end with one.
 2. The last empty line divides text and signatures; there are 1 to 100 signature lines.
 3. A line is `— NAME BASE64(key id 4 || signature)`; base64 is padded and canonical.
 4. Key id = SHA-256(NAME || 0x0A || 0x01 || key)[:4]. Signatures of other keys are ignored, whatever they are.
 5. The known key signs exactly once, and its signature verifies.
Pure: bytes and keys in, the text or NoteInvalid out.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bus.ledger.ed25519 import Ed25519Invalid, verify_ed25519, verify_public_key

__all__ = ["NoteInvalid", "NoteSigner", "NoteVerifier", "decode_base64", "parse_verifier", "verify_note"]

MAX_BYTES: Final = 64 << 10
MAX_SIGNATURES: Final = 100
_ED25519: Final = b"\x01"
_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NAME: Final = re.compile(r"[^\s+]{1,200}")


class NoteInvalid(ValueError):
    """Not a signed note of this key; the text names the rule."""


@dataclass(frozen=True, slots=True)
class NoteVerifier:
    """A key that signs notes, under its name. Make it by `create` or `parse_verifier`."""

    name: str
    key: bytes
    key_id: bytes

    @classmethod
    def create(cls, name: str, key: bytes) -> "NoteVerifier":
        """From a name and 32 bytes of public key; NoteInvalid if they cannot be those of a key."""
        if not _NAME.fullmatch(name) or _CONTROL.search(name):
            raise NoteInvalid("a key's name is 1 to 200 characters without spaces and plus signs")
        try:
            verify_public_key(key)
        except Ed25519Invalid as error:
            raise NoteInvalid(str(error)) from error
        return cls(name, key, sha256(name.encode() + b"\n" + _ED25519 + key).digest()[:4])

    @property
    def text(self) -> str:
        """NAME+KEYID+BASE64(0x01 || key): how the key is handed to people."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.key).decode()}"


@dataclass(frozen=True, slots=True, repr=False)
class NoteSigner:
    """The private half."""

    verifier: NoteVerifier
    _private: Ed25519PrivateKey

    @classmethod
    def create(cls, name: str, private: Ed25519PrivateKey) -> "NoteSigner":
        return cls(NoteVerifier.create(name, private.public_key().public_bytes_raw()), private)

    def sign(self, text: str) -> bytes:
        """The note over `text`, which ends with a newline."""
        if not text.endswith("\n") or _CONTROL.search(text):
            raise ValueError("a note's text ends with a newline and has no other control character")
        signed = self.verifier.key_id + self._private.sign(text.encode())
        return f"{text}\n\N{EM DASH} {self.verifier.name} {base64.b64encode(signed).decode()}\n".encode()


def parse_verifier(text: str) -> NoteVerifier:
    """Read NoteVerifier.text; NoteInvalid for anything else."""
    parts = text.strip("\n").split("+", 2)
    if len(parts) != 3:
        raise NoteInvalid("a verifier key is NAME+KEYID+BASE64, on one line")
    name, key_id, encoded = parts
    key = decode_base64(encoded)
    if key[:1] != _ED25519:
        raise NoteInvalid("the key is of another type than Ed25519")
    found = NoteVerifier.create(name, key[1:])
    if found.key_id.hex() != key_id:
        raise NoteInvalid("the key id is not that of this name and key")
    return found


def verify_note(note: bytes, verifier: NoteVerifier) -> str:
    """The text, signed by this key. NoteInvalid by the rules above."""
    if len(note) > MAX_BYTES:
        raise NoteInvalid("longer than any note")
    try:
        decoded = note.decode()
    except UnicodeDecodeError as error:
        raise NoteInvalid("not UTF-8") from error
    if _CONTROL.search(decoded):
        raise NoteInvalid("there is a control character")
    text, divider, signatures = decoded.rpartition("\n\n")
    if not divider or not text or not signatures.endswith("\n"):
        raise NoteInvalid("there is no text, or no signature, or an end is missing")
    text += "\n"
    lines = signatures[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteInvalid("there are more signatures than anybody makes")
    found = [signature for name, key_id, signature in map(_parse_line, lines) if _is_of(verifier, name, key_id)]
    if len(found) != 1:
        raise NoteInvalid("not signed by this key, or more than once")
    try:
        verify_ed25519(verifier.key, found[0], text.encode())
    except Ed25519Invalid as error:
        raise NoteInvalid(str(error)) from error
    return text


def decode_base64(text: str) -> bytes:
    """Standard, padded, canonical (RFC 4648, section 4); NoteInvalid otherwise."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteInvalid("there is no canonical base64 where it belongs") from error
    if base64.b64encode(data).decode() != text:
        raise NoteInvalid("there is no canonical base64 where it belongs")
    return data


def _is_of(verifier: NoteVerifier, name: str, key_id: bytes) -> bool:
    return (name, key_id) == (verifier.name, verifier.key_id)


def _parse_line(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\N{EM DASH}" or not _NAME.fullmatch(parts[1]):
        raise NoteInvalid("a signature line is an em dash, a name and base64")
    data = decode_base64(parts[2])
    if len(data) <= 4:
        raise NoteInvalid("a signature is longer than its key id")
    return parts[1], data[:4], data[4:]
