"""Steps 17 to 19 of `bus.evidence.verify`: the call's entries stand in the ledger that a signed checkpoint fixes.

As in `steps`: a line about what was found, None where the bundle holds nothing for it, StepFailed, or StepMissing. The
entries themselves were computed from admission and receipt in step 16.
"""

from bus.evidence.bundle import Bundle
from bus.evidence.steps import StepFailed, StepMissing
from bus.ledger.checkpoint import CheckpointInvalid, SignedCheckpoint, verify_checkpoint
from bus.ledger.note import NoteInvalid, NoteVerifier, parse_verifier
from bus.ledger.proof import EntryProof, ProofInvalid, parse_proof, verify_inclusion_at

__all__ = ["LedgerCase"]


class LedgerCase:
    """What the steps so far have established of the ledger."""

    _checkpoint: SignedCheckpoint
    _intent: EntryProof | None = None
    _outcome: EntryProof | None = None
    verifier: NoteVerifier | None = None

    def __init__(self, pinned: NoteVerifier | None) -> None:
        self._pinned = pinned

    def checkpoint(self, bundle: Bundle) -> str | None:
        """17. One checkpoint for both proofs, signed by the ledger's key and by nobody whom nothing here verifies."""
        if not bundle.ledger_key:
            self._may_be_absent()
            return None
        try:
            self.verifier = parse_verifier(bundle.ledger_key.decode("ascii"))
            self._intent = parse_proof(bundle.intent_proof) if bundle.intent_proof else None
            self._outcome = parse_proof(bundle.outcome_proof) if bundle.outcome_proof else None
            notes = {proof.checkpoint for proof in (self._intent, self._outcome) if proof}
            if self._pinned not in (None, self.verifier):
                raise StepFailed("the proofs rest on another ledger's key than the pinned one")
            if len(notes) != 1:
                raise StepFailed("the two proofs lead to two checkpoints; export the call again")
            self._checkpoint = verify_checkpoint(notes.pop(), self.verifier)
        except (NoteInvalid, ProofInvalid, CheckpointInvalid, UnicodeDecodeError) as error:
            raise StepFailed(f"the ledger's key, proof or checkpoint does not hold: {error}") from error
        if self.verifier.text.encode() != bundle.ledger_key or self._checkpoint.note.count(b"\n") != 5:
            raise StepFailed("key or checkpoint carry more than this verifies; export the call again")
        return f"{self._checkpoint.size} entries of {self._checkpoint.checkpoint.origin}"

    def intent(self, bundle: Bundle) -> str | None:
        """18."""
        if self._intent is None:
            self._may_be_absent()
            return None
        return self._included(self._intent, bundle.intent_entry)

    def outcome(self, bundle: Bundle) -> str | None:
        """19."""
        if self._outcome is None:
            if bundle.outcome_entry:
                self._may_be_absent()
            return None
        return self._included(self._outcome, bundle.outcome_entry)

    def _may_be_absent(self) -> None:
        """Proofs may be left out, unless the ledger is asked for by name: then who leaves them out hides something."""
        if self._pinned is not None:
            raise StepMissing("not in this bundle, though the ledger's key is pinned")

    def _included(self, proof: EntryProof, entry: bytes) -> str:
        try:
            verify_inclusion_at(self._checkpoint, proof.index, proof.path, entry)
        except ProofInvalid as error:
            raise StepFailed(str(error)) from error
        return f"entry {proof.index}"
