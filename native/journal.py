"""Reading a gate's journal: the readable definition of its bytes, and the way evidence is taken from it.

 1. Segments are `journal-<first sequence>.seg`, read in that order; each has the size its header says.
 2. Header, 128 bytes: magic, size, first sequence, recover-from, time, floors, salt 16, previous chain 32, zeros, CRC.
 3. Record: length u32 | crc u32 | sequence u64 | kind u8 | zeros 3 | chain 32 | payload, little-endian.
 4. crc = CRC32C(salt || length || everything behind the crc); sequence = the last + 1;
    chain = SHA-256(previous chain || length || sequence || kind, zeros || payload).
 5. Groups end with a commit that counts them and whose signature by the gate key covers their leaves.
 6. Behind the last whole group of the newest segment: zeros, or the torn rest of a group nobody was told of.
Anything else raises JournalDamaged. Where the writer of a running gate is at work, the group it is writing looks torn.
Follows docs/formats.md, "Journal" (normative) and docs/protocol.md, section 10. The writer is native/core/journal*.pxi.
"""

import errno
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from native._fast import JournalWriter, crc32c
from native.digest import pae
from native.ecdsa import PublicKey, SignatureInvalid
from native.journal_records import (
    CleanStop,
    Commit,
    Group,
    Intent,
    JournalDamaged,
    Kind,
    Outcome,
    ProcessStart,
    Record,
    RefusedRequest,
    SnapshotServed,
    parse_record,
)
from native.journal_types import JournalError
from native.merkle import root

__all__ = [
    "Call",
    "CleanStop",
    "Commit",
    "Group",
    "Intent",
    "JournalDamaged",
    "JournalError",
    "JournalWriter",
    "Kind",
    "Outcome",
    "ProcessStart",
    "Record",
    "RefusedRequest",
    "SnapshotServed",
    "find_call",
    "judge_tail",
    "load_segments",
    "open_segment",
    "parse_record",
    "read_groups",
    "read_segment",
    "segment_name",
    "segment_numbers",
]

HEAD = 52
SEGMENT_HEAD = 128
SECTOR = 512
COMMIT_SIZE = HEAD + 144
_NAME = re.compile(r"journal-([0-9]{20})\.seg")
_LONGEST_SEGMENT = 1 << 30  # as native/core/journal_recover.pxi
LONGEST = 8 + 768 + 2048 + 512 + 64


@dataclass(frozen=True, slots=True)
class _Segment:
    """An intact segment header, and where reading begins."""

    name: str
    data: bytes
    first: int
    salt: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the journal knows it; the outcome is None while it is open (or was never recorded)."""

    intent: Intent
    admission_signature: bytes
    outcome: Outcome | None
    receipt_signature: bytes
    gate_key: bytes
    gate_key_signature: bytes
    receipt_gate_key: bytes
    receipt_gate_key_signature: bytes


def segment_name(first: int) -> str:
    """Rule 1."""
    return f"journal-{first:020d}.seg"


def segment_numbers(directory: Path) -> list[int]:
    """The first sequence of each segment, in order; a file of any other name is none, whoever put it there."""
    names = (_NAME.fullmatch(file.name) for file in directory.glob("journal-*.seg"))
    return sorted(int(found[1]) for found in names if found)


def load_segments(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each segment in order, one in memory at a time."""
    for name in map(segment_name, segment_numbers(directory)):
        yield name, read_segment(directory, name)


def open_segment(directory: Path, name: str) -> int:
    """Its descriptor; OSError for a link, a pipe or anything else that lies in a segment's place.

    Whoever has taken over a gate may put it there for those who read its journal.
    """
    descriptor = os.open(directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > _LONGEST_SEGMENT:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no segment of a journal; look who put it there", str(directory / name))
    return descriptor


def read_segment(directory: Path, name: str) -> bytes:
    """All of it; OSError as open_segment."""
    with os.fdopen(open_segment(directory, name), "rb") as file:
        return file.read()


def read_groups(segments: Iterable[tuple[str, bytes]]) -> Iterator[Group]:
    """
    Every whole group, checked by rules 1 to 5; stops at a torn tail.

    The first segment given may be any: its header's chain and sequence are taken as they stand, everything after is
    held to them. Signatures are checked from the first process start on. Raises JournalDamaged.
    """
    state = _State()
    ended: tuple[str, int] | None = None
    for name, data in segments:
        if ended is not None:  # only the newest segment may end torn
            raise JournalDamaged("record", *ended)
        segment = _parse_segment(name, data)
        state.enter(segment)
        at = SEGMENT_HEAD
        while ended is None and not _zeros(data, at, len(data)):
            group, after = _read_group(segment, at, state)
            if group is None:
                ended = name, at
            else:
                yield group
                at = after


def find_call(segments: Iterable[tuple[str, bytes]], request_id: bytes) -> Call | None:
    """The call with this request id and everything the journal can prove about it; None when it is not there."""
    start: ProcessStart | None = None
    call: Call | None = None
    for group in read_groups(segments):
        for record in group.records:
            entry = parse_record(record)
            if isinstance(entry, ProcessStart):
                start = entry
            elif isinstance(entry, Intent) and entry.request.request_id == request_id and start is not None:
                proof = group.signature_of(record.sequence)
                key = start.gate_key_bytes, start.gate_key_signature
                call = Call(entry, proof, None, b"", *key, b"", b"")
            elif isinstance(entry, Outcome) and call is not None and start is not None and _settles(entry, call):
                return replace(
                    call,
                    outcome=entry,
                    receipt_signature=group.signature_of(record.sequence),
                    receipt_gate_key=start.gate_key_bytes,
                    receipt_gate_key_signature=start.gate_key_signature,
                )
    return call


def _settles(outcome: Outcome, call: Call) -> bool:
    return outcome.receipt.intent_sequence == call.intent.admission.sequence


class _State:
    """What the next record must follow: sequence, chain, and the key that signs commits."""

    def __init__(self) -> None:
        self.next = 0
        self.chain = b""
        self.key: PublicKey | None = None

    def enter(self, segment: _Segment) -> None:
        if self.next == 0:
            self.next, self.chain = segment.first, segment.chain
        elif (segment.first, segment.chain) != (self.next, self.chain):
            raise JournalDamaged("order", segment.name, 0)


def _parse_segment(name: str, data: bytes) -> _Segment:
    if len(data) < SEGMENT_HEAD or data[:8] != b"GVBJRNL1":
        raise JournalDamaged("segment", name, 0)
    size, first, _, _, _, _, salt, chain, _, crc = struct.unpack_from("<QQQqQQ16s32s20sI", data, 8)
    if crc != crc32c(data[:124]) or size != len(data) or name != segment_name(first):
        raise JournalDamaged("segment", name, 0)
    return _Segment(name, data, first, salt, chain)


def _parse_at(segment: _Segment, at: int) -> Record | None:
    """The record at this offset if it is intact; chain and sequence are not compared here."""
    data = segment.data
    if len(data) - at < HEAD:
        return None
    length, crc, sequence, kind, chain = struct.unpack_from("<IIQI32s", data, at)
    if kind not in Kind.__members__.values() or length > min(LONGEST, len(data) - at - HEAD):
        return None
    if crc != crc32c(segment.salt + data[at : at + 4] + data[at + 8 : at + HEAD + length]):
        return None
    return Record(sequence, Kind(kind), data[at + HEAD : at + HEAD + length], chain, segment.name, at)


def _follows(record: Record, data: bytes, sequence: int, chain: bytes) -> bool:
    head = data[record.offset : record.offset + 4] + data[record.offset + 8 : record.offset + 20]
    return record.sequence == sequence and record.chain == sha256(chain + head + record.payload).digest()


def _read_group(segment: _Segment, at: int, state: _State) -> tuple[Group | None, int]:
    """The group at this offset and where it ends; None for a torn tail."""
    records: list[Record] = []
    sequence, chain, start = state.next, state.chain, at
    while not records or records[-1].kind is not Kind.COMMIT:
        record = _parse_at(segment, at)
        if record is None or not _follows(record, segment.data, sequence, chain):
            tail = judge_tail(segment.name, segment.data, at, segment.salt, sequence)
            if tail == "damaged":
                raise JournalDamaged("record", segment.name, at)
            return None, start
        records.append(record)
        sequence, chain, at = sequence + 1, record.chain, at + record.size
    commit = parse_record(records.pop())
    if not isinstance(commit, Commit):
        raise JournalDamaged("commit", segment.name, start)
    group = Group(tuple(records), commit)
    for entry in (parse_record(r) for r in records if r.kind is Kind.START):
        if isinstance(entry, ProcessStart):
            state.key = PublicKey.from_point(entry.gate_key.public_key)
    _check_commit(group, state.key, records[-1].chain if records else state.chain, segment.name, start)
    state.next, state.chain = sequence, chain
    return group, at


def _check_commit(group: Group, key: PublicKey | None, chain: bytes, name: str, at: int) -> None:
    """Rule 5."""
    leaves = [leaf for _, leaf in group.leaves()]
    commit = group.commit
    expected = root(leaves) if leaves else chain
    if (commit.records, commit.leaves, commit.root) != (len(group.records), len(leaves), expected):
        raise JournalDamaged("commit", name, at)
    if key is None:
        return
    message = pae("govbus/batch/v1", struct.pack(">H", commit.leaves) + commit.root)
    if commit.key_id != key.key_id:
        raise JournalDamaged("signature", name, at)
    try:
        key.verify(message, commit.value)
    except SignatureInvalid:
        raise JournalDamaged("signature", name, at) from None


def _zeros(data: bytes, start: int, end: int) -> bool:
    # A look at the front first: a segment is mostly reserved room, and counting all of it for each group would cost
    # the square of the journal's length.
    near = min(end, start + SECTOR)
    return data.count(0, start, near) == near - start and data.count(0, near, end) == end - near


def _hole(data: bytes, start: int, end: int) -> bool:
    """True if some 512-byte sector holds only zeros within [start, end)."""
    while start < end:
        to = min(start // SECTOR * SECTOR + SECTOR, end)
        if _zeros(data, start, to):
            return True
        start = to
    return False


def _intact_behind(segment: _Segment, at: int, sequence: int) -> Iterator[Record]:
    """Intact records at or behind an offset, of rising sequences."""
    end = len(segment.data.rstrip(b"\0")) + COMMIT_SIZE  # a record may end in zeros, but is not made of them
    end = min(end, len(segment.data))
    while at + HEAD <= end:
        record = _parse_at(segment, at)
        if record is not None and 0 < record.sequence - sequence < 1 << 32:
            yield record
            sequence, at = record.sequence, at + record.size
        else:
            at += 1


def judge_tail(name: str, data: bytes, at: int, salt: bytes, sequence: int) -> str:
    """
    "torn" or "damaged" for the first bad place of the newest segment.

    At most the last group can be half written, and half written means whole sectors still zero: the rules are numbered
    in native/core/journal_tail.pxi. Damage is what was acknowledged and can no longer be read.
    """
    if _zeros(data, at, len(data)):
        return "torn"
    segment = _Segment(name, data, 0, salt, b"")
    first: Record | None = None
    committed = False
    for record in _intact_behind(segment, at + 1, sequence - 1):
        if committed:
            return "damaged"  # (1)
        committed = record.kind is Kind.COMMIT
        first = first or record
    if first is not None:
        return "torn" if _hole(data, at, first.offset) else "damaged"  # (2)
    end = at + COMMIT_SIZE  # (3)
    if end > len(data) or not _zeros(data, end, len(data)) or _zeros(data, end - 16, end):
        return "torn"
    length, kind = struct.unpack_from("<I12xB", data, at)
    if kind != Kind.COMMIT and length != COMMIT_SIZE - HEAD:
        return "torn"
    return "torn" if _hole(data, at, end) else "damaged"
