"""The place in a gate's journal up to which it is in the ledger, and the groups that follow there.

The bytes are those of docs/formats.md, "Journal", and native.journal is what reads them: a window behind the position
is handed to it as a segment of its own, with the true salt, sequence and chain, so that a journal of any length is
followed by reading only what is new. Pure: bytes in, values out.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bus.ledger.head import Position
from native._fast import crc32c
from native.digest import BATCH_TYPE, pae
from native.ecdsa import PublicKey, SignatureInvalid
from native.journal import Group, JournalDamaged, Kind, ProcessStart, parse_record, read_groups

__all__ = ["COMMIT_BYTES", "HEAD_BYTES", "JournalPosition", "SegmentHead", "follow", "parse_segment_head"]

HEAD_BYTES: Final = 128
COMMIT_BYTES: Final = 52 + 144
_RECORD_HEAD: Final = 52


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """What a segment's first 128 bytes say."""

    size: int
    first: int
    salt: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """Behind a whole group. `segment` is the sequence in the segment's name, `offset` where the next group begins,
    `sequence` and `chain` those of the last record, `commit` its bytes (empty at the beginning of a segment), `gate`
    the point of the gate key that signs (empty before the first start)."""

    segment: int
    offset: int
    sequence: int
    chain: bytes
    commit: bytes
    gate: bytes

    def to_head(self) -> Position:
        return {
            "segment": self.segment,
            "offset": self.offset,
            "sequence": self.sequence,
            "chain": self.chain.hex(),
            "commit": self.commit.hex(),
            "gate": self.gate.hex(),
        }

    @classmethod
    def from_head(cls, found: Position) -> "JournalPosition":
        """ValueError, KeyError or TypeError for what to_head did not write."""
        numbers = (found["segment"], found["offset"], found["sequence"])
        texts = (found["chain"], found["commit"], found["gate"])
        segment, offset, sequence = (int(one) for one in numbers)
        chain, commit, gate = (bytes.fromhex(str(one)) for one in texts)
        return cls(segment, offset, sequence, chain, commit, gate)


def parse_segment_head(data: bytes, first: int) -> SegmentHead:
    """The head of the segment named by `first`; JournalDamaged("segment") if it is not one."""
    name = f"journal-{first:020d}.seg"
    if len(data) < HEAD_BYTES or data[:8] != b"GVBJRNL1":
        raise JournalDamaged("segment", name, 0)
    size, stated, salt, chain, crc = struct.unpack_from("<QQ32x16s32s20xI", data, 8)
    if crc != crc32c(data[:124]) or stated != first:
        raise JournalDamaged("segment", name, 0)
    return SegmentHead(size, stated, salt, chain)


def follow(head: SegmentHead, position: JournalPosition, window: bytes) -> Iterator[tuple[Group, JournalPosition]]:
    """Whole groups at the beginning of `window`, the segment's bytes from the position on; the position behind each.

    Ends at the first place that is not whole. JournalDamaged, with the segment's own offsets, where native.journal
    finds damage or a commit is not the gate key's. Whether a bad place is torn or damaged only the whole segment tells.
    """
    name = f"journal-{position.sequence + 1:020d}.seg"
    front = struct.pack(
        "<8sQQQqQQ16s32s20x",
        b"GVBJRNL1",
        HEAD_BYTES + len(window),
        position.sequence + 1,
        position.sequence + 1,
        0,
        0,
        0,
        head.salt,
        position.chain,
    )
    data = front + struct.pack("<I", crc32c(front)) + window
    shift = position.offset - HEAD_BYTES
    at = HEAD_BYTES
    key = PublicKey.from_point(position.gate) if position.gate else None
    try:
        for group in read_groups([(name, data)]):
            for entry in (parse_record(one) for one in group.records if one.kind is Kind.START):
                if isinstance(entry, ProcessStart):
                    key = PublicKey.from_point(entry.gate_key.public_key)
            at += sum(record.size for record in group.records)
            commit = data[at : at + COMMIT_BYTES]
            if key is None:
                raise JournalDamaged("signature", name, at)
            _verify_commit(group, key, name, at)
            at += COMMIT_BYTES
            sequence, chain = struct.unpack_from("<8xQ4x32s", commit)
            yield group, JournalPosition(position.segment, at + shift, sequence, chain, commit, key.point)
    except JournalDamaged as error:
        raise JournalDamaged(error.reason, f"journal-{position.segment:020d}.seg", error.offset + shift) from error


def _verify_commit(group: Group, key: PublicKey, name: str, at: int) -> None:
    """The commit is signed by the gate key in force; native.journal knows that only behind a process start."""
    commit = group.commit
    try:
        if commit.key_id != key.key_id:
            raise JournalDamaged("signature", name, at)
        key.verify(pae(BATCH_TYPE, struct.pack(">H", commit.leaves) + commit.root), commit.value)
    except SignatureInvalid as error:
        raise JournalDamaged("signature", name, at) from error
