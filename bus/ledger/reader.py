"""Proofs out of a ledger's directory, for whoever may read it: the gRPC service, the command line, an auditor.

Every proof is verified before it is handed out: a flipped bit in a tile is an error here, never a wrong answer there.
"""

from pathlib import Path

from bus.ledger.checkpoint import LedgerInconsistent, SignedCheckpoint, verify_checkpoint
from bus.ledger.index import find_entry
from bus.ledger.note import NoteVerifier
from bus.ledger.proof import EntryProof, ProofInvalid, verify_entry
from bus.ledger.storage import TileFiles
from bus.ledger.tree import TreeReader
from native.merkle import MerkleError, verify_consistency

__all__ = ["EntryUnknown", "LedgerReader", "SizeUnknown"]


class EntryUnknown(LookupError):
    """The ledger has no such entry, or not yet."""

    def __init__(self) -> None:
        super().__init__("the ledger has no such entry yet; ask again after the receipt's merge deadline")


class SizeUnknown(LookupError):
    """There is no tree of that size, or the entry is not in it."""

    def __init__(self) -> None:
        super().__init__("sizes are at least 1, at most the newest checkpoint's, and in order")


class LedgerReader:
    """One ledger's directory; for use by several threads."""

    def __init__(self, directory: Path, verifier: NoteVerifier) -> None:
        self._files = TileFiles(directory)
        self._index = directory / "index.sqlite"
        self._verifier = verifier

    def checkpoint(self) -> SignedCheckpoint:
        """The newest. FileNotFoundError when there is none, CheckpointInvalid when it is not this ledger's."""
        note = self._files.checkpoint()
        if note is None:
            raise FileNotFoundError(f"no checkpoint in {self._files.directory}; is this a ledger, and did it start?")
        return verify_checkpoint(note, self._verifier)

    def prove_entry(self, entry: bytes) -> EntryProof:
        """That the newest checkpoint's tree holds the entry. EntryUnknown, TreeDamaged, LedgerInconsistent."""
        newest = self.checkpoint()
        index = find_entry(self._index, entry)
        if index is None or index >= newest.size:
            raise EntryUnknown
        path = TreeReader(newest.size, self._files.tile).inclusion(index)
        proof = EntryProof(index, tuple(path), newest.note)
        try:
            verify_entry(proof, entry, self._verifier)
        except ProofInvalid as error:
            raise LedgerInconsistent("the stored tiles do not prove this entry", b"", newest.note) from error
        return proof

    def prove_consistency(self, first: int, second: int = 0) -> tuple[list[bytes], SignedCheckpoint]:
        """That the tree of size `first` is the beginning of that of size `second` (0: the newest checkpoint's), and the
        newest checkpoint. SizeUnknown, TreeDamaged, LedgerInconsistent."""
        newest = self.checkpoint()
        second = second or newest.size
        if not 0 < first <= second <= newest.size:
            raise SizeUnknown
        reader = TreeReader(newest.size, self._files.tile)
        path = reader.consistency(first, second)
        try:
            if reader.root() != newest.root:
                raise MerkleError("root")
            verify_consistency(first, second, reader.root(first), reader.root(second), path)
        except MerkleError as error:
            raise LedgerInconsistent("the stored tiles are not the checkpoint's tree", b"", newest.note) from error
        return path, newest
