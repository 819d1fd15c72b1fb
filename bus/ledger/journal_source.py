"""A gate's journal as a source: intents, outcomes and refusals, in their order, each once.

 1. Whatever is read is made durable (fdatasync) before it is told: a ledger never knows what a journal could lose.
 2. Where the position stands, the commit that was integrated last must still stand; a segment begins with the sequence
    and chain that the one before ended with; the first segment begins at 1. Anything else was rolled back, replaced or
    lost: SourceRefused with both commits.
 3. CRC, chain, counts and commit signatures are native.journal's checks. The gate key of each process start is this
    broker's, certified by one of its registered keys (`verify_start`); every record names this broker and its place.
 4. At a place that is not whole: in any segment but the newest, damage. In the newest, a group being written or torn:
    wait. When it stays the same for two seconds, native.journal's rules decide; torn is the end, damage is refused.
KNOWN: segments that were removed before a ledger began to follow cannot be made up for; it refuses to begin there.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bus.exchange.reasons import Reason
from bus.exchange.refusal import ResponseRefused
from bus.exchange.verify_admission import verify_gate_key
from bus.exchange.view import KeyRecord
from bus.ledger.entry import EntryKind, ledger_entry
from bus.ledger.head import Position
from bus.ledger.journal_segment import (
    COMMIT_BYTES,
    HEAD_BYTES,
    JournalPosition,
    SegmentHead,
    follow,
    parse_segment_head,
)
from bus.ledger.source import Portion, SourceRefused, SourceUnavailable
from native.codec import CodecError, decode_signature
from native.journal import (
    Group,
    Intent,
    JournalDamaged,
    Outcome,
    ProcessStart,
    Record,
    RefusedRequest,
    open_segment,
    parse_record,
    read_groups,
    read_segment,
    segment_name,
    segment_numbers,
)

__all__ = ["JournalSource", "KeyLookup"]

KeyLookup = Callable[[bytes], KeyRecord | None]
"""The registered signing key of an id, as the policy knows it."""
WINDOW: Final = 1 << 20
BLANK: Final = 4096
SETTLE_S: Final = 2.0


@dataclass(slots=True)
class _Tail:
    """A place in the newest segment that is not whole: since when it looks so, and the verdict once it settled."""

    position: JournalPosition
    data: bytes
    since: float
    torn: bool = False


@dataclass(frozen=True, slots=True)
class _Look:
    """What one look found: whole groups, what stands behind them, and whether the window was too small to see it."""

    groups: list[tuple[Group, JournalPosition]]
    tail: bytes
    cut: bool


class JournalSource:
    """One broker instance's journal directory, read only."""

    def __init__(
        self, directory: Path, broker: str, keys: KeyLookup, monotonic: Callable[[], float], *, window: int = WINDOW
    ) -> None:
        """`broker`: its SPIFFE ID. `monotonic`: seconds, to see a torn tail settle. `window`: bytes read at a time."""
        self.name = f"journal {broker}"
        self._directory = directory
        self._broker = broker
        self._keys = keys
        self._monotonic = monotonic
        self._window = window
        self._tail: _Tail | None = None

    def read(self, position: Position | None) -> Portion:
        """See Source. A portion is about a megabyte of journal."""
        try:
            if not self._directory.is_dir():
                raise SourceUnavailable("there is no such journal directory yet; is the path right?")
            # Listed before anything is read: a segment that has a follower now is finished.
            segments = segment_numbers(self._directory)
            if not position and not segments:
                return Portion((), {}, complete=True)
            return self._read(JournalPosition.from_head(position) if position else _begin(segments), segments)
        except OSError as error:
            raise SourceUnavailable(
                f"the journal cannot be read ({error.strerror}); is it there, and may this user read it?"
            ) from error
        except JournalDamaged as error:
            raise SourceRefused(str(error), {}) from error

    def _read(self, position: JournalPosition, segments: list[int]) -> Portion:
        if position.segment not in segments:
            raise SourceRefused(
                "the segment that was integrated last is gone; bring it back from a copy",
                {"integrated commit": position.commit},
            )
        later = [one for one in segments if one > position.segment]
        with os.fdopen(open_segment(self._directory, _name(position)), "rb", buffering=0) as file:
            head = parse_segment_head(os.pread(file.fileno(), HEAD_BYTES, 0), position.segment)
            if position.commit:
                _verify_anchor(position, os.pread(file.fileno(), COMMIT_BYTES, position.offset - COMMIT_BYTES))
            elif (head.first - 1, head.chain) != (position.sequence, position.chain):
                raise SourceRefused("a segment does not follow the one before it", {"segment": head.chain})
            look = _look(file.fileno(), head, position, self._window, patient=not later)
            if look.groups:
                os.fdatasync(file.fileno())  # (1)
        if look.groups:
            entries, behind = self._entries(look.groups)
            whole = behind == look.groups[-1][1]
            complete = whole and not later and not look.tail and not look.cut
            return Portion(entries, behind.to_head(), complete, more=not whole or look.cut or bool(later))
        if not later:
            return Portion((), position.to_head(), complete=self._ends(position, look.tail))
        if look.tail or later[0] != position.sequence + 1:
            raise JournalDamaged("record", _name(position), position.offset)
        entered = replace(position, segment=later[0], offset=HEAD_BYTES, commit=b"")
        return Portion((), entered.to_head(), complete=False, more=True)

    def _ends(self, position: JournalPosition, tail: bytes) -> bool:
        """Rule 4: whether the newest segment is known to end here; JournalDamaged when something was lost."""
        now = self._monotonic()
        if not tail:
            self._tail = None
            return True
        if self._tail is None or (self._tail.position, self._tail.data) != (position, tail):
            self._tail = _Tail(position, tail, now)
        if not self._tail.torn and now - self._tail.since >= SETTLE_S:
            name = _name(position)
            for _ in read_groups([(name, read_segment(self._directory, name))]):
                pass
            self._tail.torn = True
        return self._tail.torn

    def _entries(self, groups: list[tuple[Group, JournalPosition]]) -> tuple[tuple[bytes, ...], JournalPosition]:
        """What the groups are in the ledger, and behind which of them: those before a bad one are integrated first."""
        entries: list[bytes] = []
        behind: JournalPosition | None = None
        for group, position in groups:
            try:
                entries += [entry for record in group.records for entry in self._entry(record)]
            except (SourceUnavailable, SourceRefused, JournalDamaged):
                if behind is None:
                    raise
                break
            behind = position
        assert behind is not None  # noqa: S101 (there is a group)
        return tuple(entries), behind

    def _entry(self, record: Record) -> list[bytes]:
        """Rule 3 for a record."""
        match parse_record(record):
            case Intent() as one:
                self._verify_place(record, one.admission.broker, one.admission.sequence)
                return [ledger_entry(EntryKind.INTENT, one.admission_bytes)]
            case Outcome() as one:
                self._verify_place(record, one.receipt.broker, one.receipt.outcome_sequence)
                return [ledger_entry(EntryKind.OUTCOME, one.receipt_bytes)]
            case RefusedRequest() as one:
                self._verify_place(record, one.refusal.broker, one.refusal.sequence)
                return [ledger_entry(EntryKind.REFUSAL, one.refusal_bytes)]
            case ProcessStart() as start:
                self._verify_start(start)
        return []

    def _verify_place(self, record: Record, broker: str, sequence: int) -> None:
        if (broker, sequence) != (self._broker, record.sequence):
            raise SourceRefused(
                "a record of the journal names another broker or place; is this that broker's journal?",
                {"record": record.payload},
            )

    def _verify_start(self, start: ProcessStart) -> None:
        """A gate key of this broker, certified by a key that was registered to it then."""
        evidence = {"gate key": start.gate_key_bytes, "signature": start.gate_key_signature}
        try:
            key = self._keys(decode_signature(start.gate_key_signature).key_id)
        except CodecError as error:
            raise SourceRefused("a gate key's signature is not canonical", evidence) from error
        if key is None:
            raise SourceUnavailable("the policy here does not know the key that certified a gate key; wait for it")
        try:
            found = verify_gate_key(
                start.gate_key_bytes,
                start.gate_key_signature,
                key=key,
                at_ms=start.time_ms,
                reason=Reason.ADMISSION_INVALID,
                cache=None,
            )
        except ResponseRefused as error:
            raise SourceRefused("a gate key is not certified by a registered key of this broker", evidence) from error
        if found.broker != self._broker:
            raise SourceRefused("a gate key is another broker's; is this that broker's journal?", evidence)


def _begin(segments: list[int]) -> JournalPosition:
    if segments[0] != 1:
        raise SourceRefused("the journal's first segment is gone; bring it back from a copy", {})
    return JournalPosition(1, HEAD_BYTES, 0, bytes(32), b"", b"")


def _name(position: JournalPosition) -> str:
    return segment_name(position.segment)


def _look(descriptor: int, head: SegmentHead, position: JournalPosition, size: int, *, patient: bool) -> _Look:
    """Whole groups from the position on; `patient`: a bad place may be one that is being written."""
    while True:
        rest = head.size - position.offset
        window = os.pread(descriptor, min(size, rest), position.offset)
        groups: list[tuple[Group, JournalPosition]] = []
        try:
            for found in follow(head, position, window):
                groups.append(found)
        except JournalDamaged as error:
            if not groups and not (patient and error.reason == "record"):
                raise
        end = groups[-1][1].offset if groups else position.offset
        tail = window[end - position.offset :].rstrip(b"\0")
        # A window that ends inside of what is written shows nothing of how it goes on. No record is BLANK bytes long.
        cut = size < rest and any(window[-BLANK:])
        if groups or not cut:
            return _Look(groups, tail, cut)
        size *= 4


def _verify_anchor(position: JournalPosition, found: bytes) -> None:
    """Rule 2: what was integrated last still stands."""
    if found != position.commit:
        raise SourceRefused(
            "the journal is not the one that was integrated: it was rolled back or written anew; stop the broker,"
            " keep its journal, and compare both commits",
            {"integrated commit": position.commit, "found": found},
        )
