"""Proofs out of a ledger's directory, for whoever may read it: the gRPC service, the command line, an auditor.

Every proof is verified before it is handed out: a flipped bit in a tile is an error here, never a wrong answer there.
"""

from collections.abc import Sequence
from pathlib import Path

from bus.ledger.checkpoint import LedgerInconsistent, SignedCheckpoint, verify_checkpoint
from bus.ledger.index import find_entry
from bus.ledger.keys import load_verifier
from bus.ledger.note import NoteVerifier
from bus.ledger.proof import EntryProof, ProofInvalid, verify_inclusion_at
from bus.ledger.storage import KEY_FILE, TileFiles
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
        self.verifier = verifier
        self._files = TileFiles(directory)
        self._index = directory / "index.sqlite"

    @classmethod
    def open(cls, directory: Path) -> "LedgerReader":
        """By the key that lies in the directory: for its owner, who need not be convinced. ValueError, OSError."""
        return cls(directory, load_verifier(directory / KEY_FILE))

    def checkpoint(self) -> SignedCheckpoint:
        """The newest. FileNotFoundError when there is none, CheckpointInvalid when it is not this ledger's."""
        note = self._files.checkpoint()
        if note is None:
            raise FileNotFoundError(f"no checkpoint in {self._files.directory}; is this a ledger, and did it start?")
        return verify_checkpoint(note, self.verifier)

    def prove_entry(self, entry: bytes) -> EntryProof:
        """That the newest checkpoint's tree holds the entry. EntryUnknown, TreeDamaged, LedgerInconsistent."""
        (proof,) = self.prove_entries([entry])
        return proof

    def prove_entries(self, entries: Sequence[bytes]) -> list[EntryProof]:
        """As prove_entry, all for one checkpoint."""
        newest = self.checkpoint()
        reader = TreeReader(newest.size, self._files.tile)
        proofs = []
        for entry in entries:
            index = find_entry(self._index, entry)
            if index is None or index >= newest.size:
                raise EntryUnknown
            path = tuple(reader.inclusion(index))
            try:
                verify_inclusion_at(newest, index, path, entry)
            except ProofInvalid as error:
                raise LedgerInconsistent("the stored tiles do not prove this entry", b"", newest.note) from error
            proofs.append(EntryProof(index, path, newest.note))
        return proofs

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
