"""The ledger's files of secrets: the Ed25519 key that signs checkpoints, and the key that salts are made with.

Neither lies in the ledger's own directory, which others may be given to read. Losing the first means a new ledger;
losing the second, that entries of registry and snapshots can no longer be opened.
"""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from bus.ledger.note import NoteInvalid, NoteSigner, NoteVerifier, parse_verifier
from pki.files import create_atomic, read_private

__all__ = ["load_or_create_salt_key", "load_or_create_signer", "load_verifier"]


def load_or_create_signer(path: Path, origin: str) -> NoteSigner:
    """The ledger's key at `path` (PKCS#8 PEM, 0600), made first if there is none. ValueError for any other."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        found = load_pem_private_key(_load_or_create(path, pem), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} is not an unencrypted Ed25519 key in PEM; bring the ledger's own back") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 key; bring the ledger's own back")  # noqa: TRY004 (its content)
    return NoteSigner.create(origin, found)


def load_or_create_salt_key(path: Path) -> bytes:
    """32 secret bytes at `path` (0600), made first if there are none."""
    found = _load_or_create(path, os.urandom(32))
    if len(found) != 32:
        raise ValueError(f"{path} is not a ledger's salt key; bring the ledger's own back")
    return found


def load_verifier(path: Path) -> NoteVerifier:
    """The public key as text, NAME+KEYID+BASE64. ValueError for anything else."""
    try:
        return parse_verifier(path.read_text(encoding="utf-8"))
    except (NoteInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a ledger's public key: {error}") from error


def _load_or_create(path: Path, fresh: bytes) -> bytes:
    try:
        return read_private(path)
    except FileNotFoundError:
        try:
            create_atomic(path, fresh)
        except FileExistsError:
            return read_private(path)
        return fresh
