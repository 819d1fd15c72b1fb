"""One entry's proof in one text: index, path and the checkpoint that they lead to. C2SP tlog-proof. Pure.

1. `c2sp.org/tlog-proof@v1`, `index N`, the path's hashes in base64 a line each, an empty line, the checkpoint's note.
   We write no `extra` line and accept none: nothing in a proof is unauthenticated.
2. The checkpoint verifies (bus.ledger.checkpoint).
3. The path leads from the entry's leaf at the index to its root (RFC 9162 2.1.3.2), with exactly the length required.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bus.ledger.checkpoint import CheckpointInvalid, SignedCheckpoint, verify_checkpoint
from bus.ledger.note import NoteInvalid, NoteVerifier, decode_base64
from bus.ledger.tree import leaf_of
from native.merkle import MerkleError, verify_inclusion

__all__ = [
    "MAX_PROOF_BYTES",
    "EntryProof",
    "ProofInvalid",
    "encode_proof",
    "parse_proof",
    "verify_entry",
    "verify_inclusion_at",
]

MAX_PROOF_BYTES: Final = 128 << 10
_MAGIC: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})")


class ProofInvalid(ValueError):
    """The proof does not prove it; the text names the rule."""


@dataclass(frozen=True, slots=True)
class EntryProof:
    """Where an entry stands, as somebody says; `checkpoint` is a note."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


def encode_proof(proof: EntryProof) -> bytes:
    """The text of a proof."""
    lines = [_MAGIC, f"index {proof.index}", *(base64.b64encode(one).decode() for one in proof.path)]
    return "\n".join(lines).encode() + b"\n\n" + proof.checkpoint


def parse_proof(data: bytes) -> EntryProof:
    """Read encode_proof's text, nothing believed yet; ProofInvalid for any other."""
    if len(data) > MAX_PROOF_BYTES:
        raise ProofInvalid("longer than any proof")
    head, divider, checkpoint = data.partition(b"\n\n")
    try:
        magic, *lines = head.decode("ascii").split("\n")
        index = _INDEX.fullmatch(lines[0]) if lines else None
        if not divider or magic != _MAGIC or index is None or len(lines) > 64:
            raise ProofInvalid("not a proof in the form of c2sp.org/tlog-proof@v1 without extra data")
        path = tuple(map(decode_base64, lines[1:]))
    except (UnicodeDecodeError, NoteInvalid) as error:
        raise ProofInvalid("not a proof in the form of c2sp.org/tlog-proof@v1 without extra data") from error
    if any(len(one) != 32 for one in path):
        raise ProofInvalid("every hash is 32 bytes")
    return EntryProof(int(index[1]), path, checkpoint)


def verify_entry(proof: EntryProof, entry: bytes, verifier: NoteVerifier) -> SignedCheckpoint:
    """The checkpoint whose tree holds `entry`, by rules 2 and 3; ProofInvalid otherwise."""
    try:
        found = verify_checkpoint(proof.checkpoint, verifier)
    except CheckpointInvalid as error:
        raise ProofInvalid(f"the checkpoint does not hold: {error}") from error
    verify_inclusion_at(found, proof.index, proof.path, entry)
    return found


def verify_inclusion_at(found: SignedCheckpoint, index: int, path: Sequence[bytes], entry: bytes) -> None:
    """Rule 3."""
    try:
        verify_inclusion(leaf_of(entry), found.size, index, path, found.root)
    except MerkleError as error:
        raise ProofInvalid("the path does not lead from this entry to the checkpoint's root") from error
