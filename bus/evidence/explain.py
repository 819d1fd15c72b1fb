"""One call's life in plain words, out of the journals and the ledger.

Tells what is written there and proves nothing: that is for `evidence export` and `verify`. A request id that was
refused may come again (a replay is such a refusal), so a life is a list of happenings in the order of their records.
How it ended, in a word, and what to do next is bus.evidence.ending's.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bus.evidence.ending import Recorded, path_of, reason_of
from bus.evidence.entries import INTENT, OUTCOME, REFUSAL, ledger_entry
from bus.evidence.steps import OUTCOMES
from bus.exchange.meanings import CODES, meaning
from bus.ledger.reader import EntryUnknown, LedgerReader
from native.codec import decode_response_header, decode_signature
from native.headers import RequestHeader
from native.journal import load_segments, read_groups
from native.journal_records import Intent, Outcome, ProcessStart, RefusedRequest, SnapshotServed, parse_record

__all__ = ["Happening", "Judged", "Life", "explain_call"]

_MEANINGS: Final = {
    "DONE": "the answer, verified, went to the client with a receipt",
    "FAILED": "the provider gave no answer that counts",
    "CANCELLED": "the client left before its answer",
    "UNKNOWN": "the broker ended while the call was open; whether the provider acted, only the provider knows",
}
_LEDGER: Final = "the national ledger"


@dataclass(frozen=True, slots=True)
class Judged:
    """By what a request was refused: the registry's state that the broker had, and the moment."""

    request: RequestHeader
    reason: str
    time_ms: int
    version: int
    position: int | None
    """Of the registry's log, as that snapshot reflects it; None where the journal does not tell."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that is written down. `time_ms` is Unix milliseconds by the clock of `who`; None: not dated."""

    time_ms: int | None
    who: str
    what: str
    details: tuple[str, ...] = ()
    refused: Judged | None = None
    registry: tuple[str, ...] = ()
    """What the registry says of a refusal; from whoever can read it."""


@dataclass(frozen=True, slots=True)
class Life:
    """Everything that is known of one request id; empty where nothing is."""

    happenings: list[Happening] = field(default_factory=list)
    recorded: Recorded | None = None


@dataclass(slots=True)
class _Journal:
    """What one journal has of it, in order, and which position of the registry's log each version reflects."""

    found: list[Intent | Outcome | RefusedRequest] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)


def explain_call(request_id: bytes, journals: Iterable[Path], ledger: LedgerReader | None) -> Life:
    """Everything that is known. native.journal.JournalDamaged when a journal is."""
    life: list[Happening] = []
    records: list[Intent | Outcome | RefusedRequest] = []
    told: set[bytes] = set()
    for directory in journals:
        journal = _read(request_id, directory)
        for found in journal.found:
            if not isinstance(found, Outcome) and found.request_bytes not in told:
                told.add(found.request_bytes)
                life.append(_asked(found.request, found.signature_bytes))
            life += _happenings(found, journal.positions)
        if ledger is not None:
            life += [_integrated(found, ledger) for found in journal.found]
        records += journal.found
    return Life(life, Recorded.of(records))


def _read(request_id: bytes, directory: Path) -> _Journal:
    read, admitted = _Journal(), None
    for group in read_groups(load_segments(directory)):
        for record in group.records:
            found = parse_record(record)
            if isinstance(found, SnapshotServed | ProcessStart):
                read.positions[found.snapshot_version] = found.log_position
            elif isinstance(found, Intent | RefusedRequest) and found.request.request_id == request_id:
                admitted = found if isinstance(found, Intent) else admitted
                read.found.append(found)
            elif isinstance(found, Outcome) and admitted is not None and _settles(found, admitted):
                read.found.append(found)
    return read


def _settles(outcome: Outcome, intent: Intent) -> bool:
    return outcome.receipt.intent_sequence == intent.admission.sequence


def _happenings(found: Intent | Outcome | RefusedRequest, positions: dict[int, int]) -> list[Happening]:
    if isinstance(found, Intent):
        return [_admitted(found)]
    if isinstance(found, RefusedRequest):
        return [_refused(found, positions.get(found.refusal.snapshot_version))]
    return [_answered(found), _ended(found)] if found.response_bytes else [_ended(found)]


def _asked(request: RequestHeader, signature: bytes) -> Happening:
    signed = decode_signature(signature)
    said = [f"case {request.case_id}"] if request.case_id else []
    said += [f"official {request.official}"] if request.official else []
    batch = f"with {signed.size - 1} others " if signed.size > 1 else ""
    return Happening(
        request.issued_at_ms,
        path_of(request.client),
        f"asked {path_of(request.provider)} for {request.method[1:]}, for {request.purpose}, under {request.grant_id}",
        (*said, f"signed {batch}by key {signed.key_id.hex()[:16]}"),
    )


def _refused(found: RefusedRequest, position: int | None) -> Happening:
    refusal, reason = found.refusal, reason_of(found.refusal.reason)
    told = meaning(reason)
    return Happening(
        refusal.time_ms,
        path_of(refusal.broker),
        f"refused it: {reason}",
        (told.text, "the provider never saw it", f"by policy version {refusal.snapshot_version}"),
        refused=Judged(found.request, str(reason), refusal.time_ms, refusal.snapshot_version, position),
    )


def _admitted(found: Intent) -> Happening:
    admission = found.admission
    return Happening(
        admission.intent_time_ms,
        path_of(admission.broker),
        f"admitted it as record {admission.sequence}, by policy version {admission.snapshot_version}",
        ("from here on the provider may have seen it",),
    )


def _answered(found: Outcome) -> Happening:
    response = decode_response_header(found.response_bytes)
    key = decode_signature(found.signature_bytes).key_id.hex()[:16]
    return Happening(
        response.time_ms,
        path_of(response.provider),
        f"answered {CODES[response.grpc_status].name}",
        (_messages(response.message_count), f"signed by key {key}"),
    )


def _ended(found: Outcome) -> Happening:
    receipt = found.receipt
    name = OUTCOMES[receipt.outcome]
    why = [f"because of {reason_of(receipt.reason)}"] if receipt.reason else []
    released = f"{_messages(receipt.messages_released)}, {receipt.bytes_released:,} bytes released to the client"
    return Happening(
        receipt.outcome_time_ms,
        path_of(receipt.broker),
        f"recorded its end as record {receipt.outcome_sequence}: {name}",
        (_MEANINGS[name], *why, released),
    )


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _integrated(found: Intent | Outcome | RefusedRequest, ledger: LedgerReader) -> Happening:
    number, entry = _entry(found)
    try:
        proof = ledger.prove_entry(entry)
    except EntryUnknown:
        return Happening(None, _LEDGER, f"does not have record {number} yet", ("govbus status tells how far it is",))
    size = ledger.checkpoint().size
    return Happening(
        None,
        _LEDGER,
        f"keeps record {number} as entry {proof.index}",
        (f"in the newest checkpoint, of {size} entries",),
    )


def _entry(found: Intent | Outcome | RefusedRequest) -> tuple[int, bytes]:
    """Its number in the journal, and what it is in the ledger."""
    if isinstance(found, Intent):
        return found.admission.sequence, ledger_entry(INTENT, found.admission_bytes)
    if isinstance(found, RefusedRequest):
        return found.refusal.sequence, ledger_entry(REFUSAL, found.refusal_bytes)
    return found.receipt.outcome_sequence, ledger_entry(OUTCOME, found.receipt_bytes)
