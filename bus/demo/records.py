"""Calls and refusals as a broker's journal has them: of every party, since every call passes there. It names nobody."""

from dataclasses import dataclass
from pathlib import Path

from govbus.errors.v1 import reasons_pb2

from bus.exchange.meanings import CODES
from native.codec import decode_response_header
from native.journal import load_segments, read_groups
from native.journal_records import Intent, Outcome, RefusedRequest, parse_record
from pki.identity import parse_spiffe_id

__all__ = ["JournaledCall", "Records", "read_records"]

_OUTCOMES = {1: "DONE", 2: "FAILED", 3: "CANCELLED", 4: "UNKNOWN"}


@dataclass(slots=True)
class JournaledCall:
    """One admitted call; the outcome's fields are empty while it is open."""

    request_id: bytes
    client: str
    provider: str
    method: str
    purpose: str
    case_id: str
    intent: int
    intent_ms: int
    outcome: str = ""
    outcome_sequence: int = 0
    milliseconds: int = 0
    status: str = ""
    receipt: bytes = b""

    def document(self) -> dict[str, object]:
        """For the report."""
        return {
            "request_id": self.request_id.hex(),
            "client": self.client,
            "provider": self.provider,
            "method": self.method,
            "purpose": self.purpose,
            "case": self.case_id,
            "outcome": self.outcome,
            "status": self.status,
            "milliseconds": self.milliseconds,
            "intent": self.intent,
            "receipt": self.outcome_sequence,
        }


@dataclass(frozen=True, slots=True)
class Records:
    """What a journal holds."""

    calls: tuple[JournaledCall, ...]
    refused: tuple[str, ...]
    """Reasons of requests refused after their signature was verified, in order."""


def read_records(journal: Path) -> Records:
    """Everything in the journal, checked as it is read; JournalDamaged when it is not what was written."""
    calls: dict[int, JournaledCall] = {}
    refused: list[str] = []
    for group in read_groups(load_segments(journal)):
        for record in group.records:
            entry = parse_record(record)
            if isinstance(entry, Intent):
                calls[record.sequence] = _call(entry)
            elif isinstance(entry, Outcome):
                _settle(calls[entry.receipt.intent_sequence], entry)
            elif isinstance(entry, RefusedRequest):
                refused.append(_reason(entry.refusal.reason))
    return Records(tuple(calls.values()), tuple(refused))


def _call(intent: Intent) -> JournaledCall:
    request = intent.request
    return JournaledCall(
        request_id=request.request_id,
        client=parse_spiffe_id(request.client).path,
        provider=parse_spiffe_id(request.provider).path,
        method=request.method.rpartition("/")[2],
        purpose=request.purpose,
        case_id=request.case_id,
        intent=intent.admission.sequence,
        intent_ms=intent.admission.intent_time_ms,
    )


def _settle(call: JournaledCall, outcome: Outcome) -> None:
    receipt = outcome.receipt
    call.outcome = _OUTCOMES[receipt.outcome]
    call.outcome_sequence = receipt.outcome_sequence
    call.milliseconds = receipt.outcome_time_ms - call.intent_ms
    call.receipt = outcome.receipt_bytes
    call.status = _reason(receipt.reason)
    if outcome.response_bytes:
        call.status = CODES[decode_response_header(outcome.response_bytes).grpc_status].name


def _reason(number: int) -> str:
    return reasons_pb2.Reason.Name(reasons_pb2.Reason.ValueType(number)).removeprefix("REASON_")
