"""Checkpoints: the ledger's signed statement of its size and root. C2SP tlog-checkpoint as a signed note.

 1. A note of the ledger's key (bus.ledger.note).
 2. Exactly three lines: origin, size, base64 of the root. We write no extension lines and accept none.
 3. The origin is the expected one, byte for byte; the signing key's name is the same.
 4. The size is decimal, no leading zero, below 2^63. A tree of size 0 has the root SHA-256("").
Two checkpoints of one ledger that no consistency proof can join are a fork: LedgerInconsistent carries both. Pure.
"""

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bus.ledger.note import NoteInvalid, NoteSigner, NoteVerifier, decode_base64, verify_note

__all__ = [
    "EMPTY_ROOT",
    "Checkpoint",
    "CheckpointInvalid",
    "LedgerInconsistent",
    "SignedCheckpoint",
    "sign_checkpoint",
    "verify_checkpoint",
]

EMPTY_ROOT: Final = sha256(b"").digest()
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class CheckpointInvalid(ValueError):
    """Not a checkpoint of this ledger; the text names the rule."""


class LedgerInconsistent(Exception):
    """Two states of one ledger that cannot both be true: proof of a fork, a rollback or damage.

    `smaller` and `larger` are the signed notes, by size; empty bytes where the other state is what the files say and
    nobody signed it.
    """

    def __init__(self, text: str, smaller: bytes, larger: bytes) -> None:
        super().__init__(
            f"{text}; stop, keep all files and both checkpoints, then compare with copies that others hold"
        )
        self.smaller = smaller
        self.larger = larger


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root of one ledger."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A verified checkpoint and the note that says so."""

    checkpoint: Checkpoint
    note: bytes

    @property
    def size(self) -> int:
        return self.checkpoint.size

    @property
    def root(self) -> bytes:
        return self.checkpoint.root


def sign_checkpoint(signer: NoteSigner, size: int, root: bytes) -> SignedCheckpoint:
    """The ledger named like its key, at this size and root."""
    checkpoint = Checkpoint(signer.verifier.name, size, root)
    return SignedCheckpoint(checkpoint, signer.sign(checkpoint.text))


def verify_checkpoint(note: bytes, verifier: NoteVerifier) -> SignedCheckpoint:
    """The checkpoint in `note` of the ledger that the key is named after. CheckpointInvalid by the rules above."""
    try:
        lines = verify_note(note, verifier)[:-1].split("\n")
        if len(lines) != 3:
            raise CheckpointInvalid("a checkpoint has exactly three lines")
        origin, size, encoded = lines
        root = decode_base64(encoded)
    except NoteInvalid as error:
        raise CheckpointInvalid(str(error)) from error
    if origin != verifier.name:
        raise CheckpointInvalid("it is of another ledger")
    if not _SIZE.fullmatch(size) or int(size) >= 1 << 63:
        raise CheckpointInvalid("the size is not a decimal number below 2^63")
    if len(root) != 32 or (size == "0") != (root == EMPTY_ROOT):
        raise CheckpointInvalid("the root is not one of this size")
    return SignedCheckpoint(Checkpoint(origin, int(size), root), note)
