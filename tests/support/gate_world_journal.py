"""The journal as a test watches it: the committed records of a running gate, read on from where the last look ended.

`JournalWatch` is quick and believes what it reads; `verify_journal` reads everything from the start with the definition
in native.journal (CRC, chain, commit signatures) and holds intents and outcomes against each other.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from native._fast import crc32c
from native.journal import load_segments, read_groups
from native.journal_records import (
    Intent,
    Kind,
    Outcome,
    ProcessStart,
    Record,
    RefusedRequest,
    SnapshotServed,
    parse_record,
)

__all__ = ["JournalWatch", "verify_journal"]

_HEAD = struct.Struct("<IIQI32s")
_SEGMENT_HEAD = 128
_SALT_AT = 56
_LONGEST = 4096


class JournalWatch:
    """What is committed so far."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segment: Path | None = None
        self._at = _SEGMENT_HEAD
        """Behind the last commit: a group that was torn by a kill is written over."""
        self.starts = 0
        self.snapshot_version = 0
        self.intents: list[Intent] = []
        self.outcomes: dict[int, list[Outcome]] = {}
        self.refusals: dict[bytes, list[int]] = {}
        """Reason numbers by request id."""

    def poll(self) -> "JournalWatch":
        """Take in what was committed since."""
        while group := self._next_group():
            for record in group:
                self._take(record)
        return self

    def intents_of(self, request_id: bytes) -> list[Intent]:
        return [intent for intent in self.intents if intent.request.request_id == request_id]

    def settled(self) -> bool:
        """Whether every intent has an outcome."""
        return all(intent.admission.sequence in self.outcomes for intent in self.intents)

    def _next_group(self) -> list[Record]:
        """The next committed group, of this segment or the one behind it; empty when there is none yet."""
        segments = sorted(self._directory.glob("journal-*.seg"))
        if not segments:
            return []
        self._segment = self._segment or segments[0]
        group = self._read_group(self._segment)
        if not group and (later := [one for one in segments if one > self._segment]):
            group = self._read_group(self._segment)  # it may have been written until a moment ago
            if not group:
                self._segment, self._at = later[0], _SEGMENT_HEAD
                group = self._read_group(self._segment)
        return group

    def _read_group(self, segment: Path) -> list[Record]:
        records: list[Record] = []
        with segment.open("rb") as file:
            file.seek(_SALT_AT)
            salt = file.read(16)
            file.seek(self._at)
            while (record := _read_record(file, salt, segment.name)) is not None:
                records.append(record)
                if record.kind is Kind.COMMIT:
                    self._at = file.tell()
                    return records
        return []

    def _take(self, record: Record) -> None:
        entry = parse_record(record)
        if isinstance(entry, Intent):
            self.intents.append(entry)
        elif isinstance(entry, Outcome):
            self.outcomes.setdefault(entry.receipt.intent_sequence, []).append(entry)
        elif isinstance(entry, RefusedRequest):
            self.refusals.setdefault(entry.request.request_id, []).append(entry.refusal.reason)
        elif isinstance(entry, SnapshotServed):
            self.snapshot_version = entry.snapshot_version
        elif isinstance(entry, ProcessStart):
            self.starts += 1


def _read_record(file: BinaryIO, salt: bytes, segment: str) -> Record | None:
    """The record here; None where nothing, or nothing whole, is written yet."""
    at = file.tell()
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, crc, sequence, kind, chain = _HEAD.unpack(head)
    if kind not in Kind.__members__.values() or length > _LONGEST:
        return None
    payload = file.read(length)
    if crc != crc32c(salt + head[:4] + head[8:] + payload):
        return None
    return Record(sequence, Kind(kind), payload, chain, segment, at)


def entries_of(directory: Path) -> Iterator[object]:
    """Every verified entry."""
    for group in read_groups(load_segments(directory)):
        for record in group.records:
            yield parse_record(record)


def verify_journal(directory: Path) -> tuple[list[Intent], list[Outcome]]:
    """The whole journal is intact, no id was admitted twice, and every intent has exactly one outcome of its own."""
    entries = list(entries_of(directory))
    intents = [entry for entry in entries if isinstance(entry, Intent)]
    outcomes = [entry for entry in entries if isinstance(entry, Outcome)]
    ids = Counter((intent.request.client, intent.request.request_id) for intent in intents)
    assert [one for one, times in ids.items() if times > 1] == []
    assert Counter(outcome.receipt.intent_sequence for outcome in outcomes) == Counter(
        intent.admission.sequence for intent in intents
    )
    by_sequence = {intent.admission.sequence: intent.admission for intent in intents}
    for outcome in outcomes:
        receipt, admission = outcome.receipt, by_sequence[outcome.receipt.intent_sequence]
        assert (receipt.request_digest, receipt.snapshot_version, receipt.intent_time_ms) == (
            admission.request_digest,
            admission.snapshot_version,
            admission.intent_time_ms,
        )
    return intents, outcomes
