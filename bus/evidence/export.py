"""One call's evidence out of a broker's journal. Decides nothing: what is exported is for verify to judge.

The journal has no bodies. Who called has them, in the bundle that he made of the call (`bundle_of_call`), and mostly
the policy that judged; the journal and the ledger have the rest: `completed` puts both together.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

from bus.edge.snapshot_files import peek_header
from bus.evidence.bundle import Bundle
from bus.evidence.entries import INTENT, OUTCOME, ledger_entry
from bus.exchange.evidence import CallEvidence
from bus.ledger.proof import encode_proof
from bus.ledger.reader import LedgerReader
from native.codec import decode_admission
from native.digest import frame
from native.journal import Call, find_call, load_segments

__all__ = [
    "Body",
    "NotInJournal",
    "OtherCall",
    "bundle_of_call",
    "completed",
    "export_call",
    "parse_request_id",
    "prove_in_ledger",
]


class NotInJournal(LookupError):
    """The journal has no such call; the text says what to check."""


class OtherCall(ValueError):
    """Two bundles are not of one call and one answer; the text says in what."""


@dataclass(frozen=True, slots=True, repr=False)
class Body:
    """A body as its holder kept it: 32 bytes of salt and the gRPC frames."""

    salt: bytes
    frames: bytes
    grpc_message: bytes = b""
    """As it travelled, percent-encoded; an answer's only."""
    status_details: bytes = b""


def parse_request_id(text: str) -> bytes:
    """The 16 bytes of a request id written as hex or as a UUID; ValueError otherwise."""
    try:
        return UUID(text).bytes
    except ValueError as error:
        raise ValueError("a request id is 32 hex digits, or a UUID") from error


def export_call(
    request_id: bytes,
    journal: Path,
    *,
    snapshot: bytes,
    policy_key: bytes,
    request_body: Body | None = None,
    response_body: Body | None = None,
    ledger: LedgerReader | None = None,
) -> Bundle:
    """The bundle of one call, with its proofs when a ledger is given. NotInJournal when it is not there;
    native.journal.JournalDamaged when the journal is; bus.ledger.reader.EntryUnknown when the ledger is behind."""
    call = find_call(load_segments(journal), request_id)
    if call is None:
        raise NotInJournal(f"no such request in {journal}; another broker may have admitted it, or none did")
    bundle = _bundle(call, snapshot, policy_key, request_body or _NO_BODY, response_body or _NO_BODY)
    return bundle if ledger is None else prove_in_ledger(bundle, ledger)


def prove_in_ledger(bundle: Bundle, ledger: LedgerReader) -> Bundle:
    """The bundle with the proofs of the entries that it has. EntryUnknown when the ledger is behind."""
    entries = [entry for entry in (bundle.intent_entry, bundle.outcome_entry) if entry]
    proofs = dict(zip(entries, map(encode_proof, ledger.prove_entries(entries)), strict=True))
    return replace(
        bundle,
        ledger_key=ledger.verifier.text.encode(),
        intent_proof=proofs.get(bundle.intent_entry, b""),
        outcome_proof=proofs.get(bundle.outcome_entry, b""),
    )


def completed(bundle: Bundle, holder: Bundle) -> Bundle:
    """An exported bundle with what its call's holder has: bodies, and the judging policy where the export has another.

    OtherCall when they are not of one call and one answer under one policy key.
    """
    for name, meaning in (("policy_key", "under another policy key"), ("request_header", "of another request")):
        if getattr(bundle, name) != getattr(holder, name):
            raise OtherCall(f"it is {meaning} than the journal's call")
    if holder.response_salt and holder.response_header != bundle.response_header:
        raise OtherCall("it has another answer than the journal")
    judged = decode_admission(bundle.admission).snapshot_version
    judging = peek_header(bundle.snapshot).version == judged or peek_header(holder.snapshot).version != judged
    return replace(
        bundle,
        snapshot=bundle.snapshot if judging else holder.snapshot,
        request_salt=holder.request_salt,
        request_frames=holder.request_frames,
        response_salt=holder.response_salt,
        response_frames=holder.response_frames,
        grpc_message=holder.grpc_message,
        status_details=holder.status_details,
    )


_NO_BODY = Body(b"", b"")


def _bundle(call: Call, snapshot: bytes, policy_key: bytes, request: Body, response: Body) -> Bundle:
    intent, outcome = call.intent, call.outcome
    receipt = outcome.receipt_bytes if outcome else b""
    # Another start of the broker, another gate key: only a recovered call has both.
    second = outcome is not None and call.receipt_gate_key != call.gate_key
    return Bundle(
        policy_key=policy_key,
        snapshot=snapshot,
        request_header=intent.request_bytes,
        request_signature=intent.signature_bytes,
        admission=intent.admission_bytes,
        admission_signature=call.admission_signature,
        response_header=outcome.response_bytes if outcome else b"",
        response_signature=outcome.signature_bytes if outcome else b"",
        receipt=receipt,
        receipt_signature=call.receipt_signature,
        gate_key=call.gate_key,
        gate_key_signature=call.gate_key_signature,
        outcome_gate_key=call.receipt_gate_key if second else b"",
        outcome_gate_key_signature=call.receipt_gate_key_signature if second else b"",
        intent_entry=ledger_entry(INTENT, intent.admission_bytes),
        outcome_entry=ledger_entry(OUTCOME, receipt) if receipt else b"",
        request_salt=request.salt,
        request_frames=request.frames,
        response_salt=response.salt,
        response_frames=response.frames,
        grpc_message=response.grpc_message,
        status_details=response.status_details,
    )


def bundle_of_call(evidence: CallEvidence, *, snapshot: bytes, policy_key: bytes) -> Bundle:
    """What a client makes of what it was told of its own call (`using(on_evidence=...)`), bodies included."""
    return Bundle(
        policy_key=policy_key,
        snapshot=snapshot,
        request_header=evidence.request_header,
        request_signature=evidence.request_signature,
        admission=evidence.admission,
        admission_signature=evidence.admission_signature,
        response_header=evidence.response_header,
        response_signature=evidence.response_signature,
        receipt=evidence.receipt,
        receipt_signature=evidence.receipt_signature,
        gate_key=evidence.gate_key,
        gate_key_signature=evidence.gate_key_signature,
        intent_entry=ledger_entry(INTENT, evidence.admission) if evidence.admission else b"",
        outcome_entry=ledger_entry(OUTCOME, evidence.receipt) if evidence.receipt else b"",
        request_salt=evidence.request_salt,
        request_frames=b"".join(map(frame, evidence.request_messages)),
        response_salt=evidence.response_salt,
        response_frames=b"".join(map(frame, evidence.response_messages)),
        grpc_message=evidence.grpc_message if evidence.response_salt else b"",
        status_details=evidence.status_details if evidence.response_salt else b"",
    )
