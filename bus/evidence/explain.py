"""One call's life in plain words, out of the journals and the ledger.

Tells what is written there and proves nothing: that is for `evidence export` and `verify`. A request id that was
refused may come again (a replay is such a refusal), so a life is a list of happenings in the order of their records.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from govbus.errors.v1 import reasons_pb2

from bus.evidence.entries import INTENT, OUTCOME, REFUSAL, ledger_entry
from bus.evidence.steps import OUTCOMES
from bus.exchange.meanings import CODES, meaning
from bus.exchange.reasons import Reason
from bus.ledger.reader import EntryUnknown, LedgerReader
from native.codec import decode_response_header, decode_signature
from native.headers import RequestHeader
from native.journal import load_segments, read_groups
from native.journal_records import Intent, Outcome, RefusedRequest, parse_record
from pki.identity import parse_spiffe_id

__all__ = ["Happening", "explain_call"]

_MEANINGS: Final = {
    "DONE": "the answer, verified, went to the client with a receipt",
    "FAILED": "the provider gave no answer that counts",
    "CANCELLED": "the client left before its answer",
    "UNKNOWN": "the broker ended while the call was open; whether the provider acted, only the provider knows",
}
_LEDGER: Final = "the national ledger"


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that is written down. `time_ms` is Unix milliseconds by the clock of `who`; None: not dated."""

    time_ms: int | None
    who: str
    what: str
    details: tuple[str, ...] = ()
    admitted: bool = False
    """From here on there is evidence to export."""
    refused: RequestHeader | None = None
    """What was asked, of a refusal."""
    registry: tuple[str, ...] = ()
    """What the registry knew at that time, of a refusal; from whoever can read it."""


def explain_call(request_id: bytes, journals: Iterable[Path], ledger: LedgerReader | None) -> list[Happening]:
    """Everything that is known, empty where nothing is. native.journal.JournalDamaged when a journal is."""
    life: list[Happening] = []
    told: set[bytes] = set()
    for journal in journals:
        entries: list[bytes] = []
        for found in _recorded(request_id, journal):
            if not isinstance(found, Outcome) and found.request_bytes not in told:
                told.add(found.request_bytes)
                life.append(_asked(found.request, found.signature_bytes))
            life += _happenings(found)
            entries += _entries(found)
        if ledger is not None:
            life += [_integrated(entry, ledger) for entry in entries]
    return life


def _recorded(request_id: bytes, journal: Path) -> Iterator[Intent | Outcome | RefusedRequest]:
    admitted: Intent | None = None
    for group in read_groups(load_segments(journal)):
        for record in group.records:
            found = parse_record(record)
            if isinstance(found, Intent | RefusedRequest) and found.request.request_id == request_id:
                admitted = found if isinstance(found, Intent) else admitted
                yield found
            elif isinstance(found, Outcome) and admitted is not None and _settles(found, admitted):
                yield found


def _happenings(found: Intent | Outcome | RefusedRequest) -> list[Happening]:
    if isinstance(found, Intent):
        return [_admitted(found)]
    if isinstance(found, RefusedRequest):
        return [_refused(found)]
    return [_answered(found), _ended(found)] if found.response_bytes else [_ended(found)]


def _entries(found: Intent | Outcome | RefusedRequest) -> list[bytes]:
    if isinstance(found, Intent):
        return [ledger_entry(INTENT, found.admission_bytes)]
    if isinstance(found, RefusedRequest):
        return [ledger_entry(REFUSAL, found.refusal_bytes)]
    return [ledger_entry(OUTCOME, found.receipt_bytes)]


def _settles(outcome: Outcome, intent: Intent) -> bool:
    return outcome.receipt.intent_sequence == intent.admission.sequence


def _asked(request: RequestHeader, signature: bytes) -> Happening:
    signed = decode_signature(signature)
    said = [f"case {request.case_id}"] if request.case_id else []
    said += [f"official {request.official}"] if request.official else []
    batch = f"with {signed.size - 1} others " if signed.size > 1 else ""
    return Happening(
        request.issued_at_ms,
        _path(request.client),
        f"asked {_path(request.provider)} for {request.method[1:]}, for {request.purpose}, under {request.grant_id}",
        (*said, f"signed {batch}by key {signed.key_id.hex()[:16]}"),
    )


def _refused(found: RefusedRequest) -> Happening:
    refusal = found.refusal
    name = _reason(refusal.reason)
    told = meaning(Reason(name))
    return Happening(
        refusal.time_ms,
        _path(refusal.broker),
        f"refused it: {name}",
        (told.text, told.remedy, "the provider never saw it"),
        refused=found.request,
    )


def _admitted(found: Intent) -> Happening:
    admission = found.admission
    return Happening(
        admission.intent_time_ms,
        _path(admission.broker),
        f"admitted it as record {admission.sequence}, by policy version {admission.snapshot_version}",
        ("from here on the provider may have seen it",),
        admitted=True,
    )


def _answered(found: Outcome) -> Happening:
    response = decode_response_header(found.response_bytes)
    key = decode_signature(found.signature_bytes).key_id.hex()[:16]
    return Happening(
        response.time_ms,
        _path(response.provider),
        f"answered {CODES[response.grpc_status].name}",
        (f"{response.message_count} messages", f"signed by key {key}"),
    )


def _ended(found: Outcome) -> Happening:
    receipt = found.receipt
    name = OUTCOMES[receipt.outcome]
    why = [f"because of {_reason(receipt.reason)}"] if receipt.reason else []
    return Happening(
        receipt.outcome_time_ms,
        _path(receipt.broker),
        f"recorded its end as record {receipt.outcome_sequence}: {name}",
        (_MEANINGS[name], *why, f"{receipt.messages_released} messages, {receipt.bytes_released} bytes released"),
    )


def _integrated(entry: bytes, ledger: LedgerReader) -> Happening:
    try:
        proof = ledger.prove_entry(entry)
    except EntryUnknown:
        return Happening(None, _LEDGER, "does not have it yet", ("see govbus status for its lag",))
    size = ledger.checkpoint().size
    return Happening(
        None, _LEDGER, f"keeps it as entry {proof.index}", (f"in the newest checkpoint, of {size} entries",)
    )


def _reason(number: int) -> str:
    return reasons_pb2.Reason.DESCRIPTOR.values_by_number[number].name.removeprefix("REASON_")


def _path(spiffe_id: str) -> str:
    return parse_spiffe_id(spiffe_id).path
