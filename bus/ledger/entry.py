"""Ledger entries: SHA-256(PAE(`govbus/entry/v1`, kind || record)), 32 bytes that reveal nothing (protocol.md 10).

Intents, outcomes and refusals are their own records; the first field of each is the salt. What the registry says is
recorded as salt || hash: 32 bytes that only the ledger's operator can make (`operator_salt`), then the hash of the
registry's event or of the snapshot's header. Pure.
"""

import hmac
from enum import IntEnum

from native.digest import ENTRY_TYPE, header_digest

__all__ = ["EntryKind", "ledger_entry", "operator_salt", "statement_entry"]


class EntryKind(IntEnum):
    """The byte before the record. A number is never given to another meaning."""

    INTENT = 1
    OUTCOME = 2
    REFUSAL = 3
    GRANT = 4
    KEY = 5
    CERTIFICATE = 6
    SNAPSHOT = 7
    OPERATOR_ACT = 8


def ledger_entry(kind: int, record: bytes) -> bytes:
    """32 bytes."""
    return header_digest(ENTRY_TYPE, bytes((kind,)) + record)


def operator_salt(salt_key: bytes, source: str, position: int) -> bytes:
    """The salt of a source's statement at a position: the same after a restart, guessed by nobody without the key."""
    return hmac.digest(salt_key, source.encode() + b"\0" + position.to_bytes(8, "big"), "sha256")


def statement_entry(kind: EntryKind, salt: bytes, digest: bytes) -> bytes:
    """The entry of an event or a snapshot, by its hash."""
    if len(salt) != 32 or len(digest) != 32:
        raise ValueError("salt and hash are 32 bytes each")
    return ledger_entry(kind, salt + digest)
