"""The ledger's files of secrets: the Ed25519 key that signs checkpoints, and the key that salts are made with.

Neither lies in the ledger's own directory, which others may be given to read. Losing the first means a new ledger;
losing the second, that entries of registry and snapshots can no longer be opened. So neither is made anew beside a
ledger that has begun: that would hide the loss, and a backup may still have it.
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


def load_or_create_signer(path: Path, origin: str, *, begun: bool = False) -> NoteSigner:
    """The ledger's key at `path` (PKCS#8 PEM, 0600), made first if there is none. ValueError for any other.

    `begun`: the ledger has entries, so that a key that is not there is lost: ValueError.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    kept = _load_or_create(path, pem, begun)
    try:
        found = load_pem_private_key(kept, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{path} is not an unencrypted Ed25519 key in PEM; bring the ledger's own back") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise ValueError(f"{path} is not an Ed25519 key; bring the ledger's own back")  # noqa: TRY004 (its content)
    return NoteSigner.create(origin, found)


def load_or_create_salt_key(path: Path, *, begun: bool = False) -> bytes:
    """32 secret bytes at `path` (0600), made first if there are none. `begun` as above."""
    found = _load_or_create(path, os.urandom(32), begun)
    if len(found) != 32:
        raise ValueError(f"{path} is not a ledger's salt key; bring the ledger's own back")
    return found


def load_verifier(path: Path) -> NoteVerifier:
    """The public key as text, NAME+KEYID+BASE64. ValueError for anything else."""
    try:
        return parse_verifier(path.read_text(encoding="utf-8"))
    except (NoteInvalid, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a ledger's public key: {error}") from error


def _load_or_create(path: Path, fresh: bytes, begun: bool) -> bytes:
    try:
        return read_private(path)
    except FileNotFoundError as error:
        if begun:
            raise ValueError(
                f"{path} is gone, and another one cannot do what it was for; restore it from a backup; if there is"
                " none, see docs/operations.md, When the ledger stands still"
            ) from error
        try:
            create_atomic(path, fresh)
        except FileExistsError:
            return read_private(path)
        return fresh
