"""Journals become entries, each record once, in order; what was rolled back, forged or damaged is refused, with proof.

The journals are real ones (native.journal's writer); what is expected is what native.journal reads in them.
"""

import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from bus.exchange.view import KeyRecord
from bus.ledger.entry import ledger_entry
from bus.ledger.head import Position
from bus.ledger.journal_source import SETTLE_S, JournalSource
from bus.ledger.journal_tail import JournalTail
from bus.ledger.source import Portion, SourceRefused, SourceUnavailable
from native._fast import crc32c
from native.ecdsa import PrivateKey
from native.journal import Intent, Outcome, RefusedRequest, load_segments, parse_record, read_groups
from tests.native.journals import BROKER_KEY, REQUEST_SIGNATURE, Broker, call, request
from tests.native.samples import BROKER

KEY = KeyRecord(BROKER, 0, 1 << 62, BROKER_KEY.public_key)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    (tmp_path / "journal").mkdir()
    return Broker(tmp_path / "journal")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source(broker: Broker, clock: Clock) -> JournalSource:
    return JournalSource(broker.directory, BROKER, lambda key_id: KEY, clock)


def expected(directory: Path) -> list[bytes]:
    """By native.journal, the readable definition."""
    found = []
    for group in read_groups(load_segments(directory)):
        for entry in map(parse_record, group.records):
            if isinstance(entry, Intent):
                found.append(ledger_entry(1, entry.admission_bytes))
            elif isinstance(entry, Outcome):
                found.append(ledger_entry(2, entry.receipt_bytes))
            elif isinstance(entry, RefusedRequest):
                found.append(ledger_entry(3, entry.refusal_bytes))
    return found


def drain(source: JournalSource, position: Position | None = None) -> tuple[list[bytes], Position]:
    """Everything from the position on, and the position behind it."""
    found: list[bytes] = []
    for _ in range(10_000):
        portion = source.read(position)
        found += portion.entries
        moved, position = position != portion.position, portion.position
        if portion.complete:
            return found, portion.position
        assert moved
    raise AssertionError("it never ends")


def write(broker: Broker, calls: int) -> None:
    journal = broker.open()
    for _ in range(calls):
        call(journal)
    journal.submit_refusal(request(), REQUEST_SIGNATURE, 30).wait()
    journal.close()


def test_every_record_is_an_entry_once_and_in_order(broker: Broker, source: JournalSource) -> None:
    assert source.read(None).complete
    write(broker, 5)
    found, position = drain(source)
    assert found == expected(broker.directory)
    assert len(found) == 11
    write(broker, 5)  # another process with another gate key
    more, _ = drain(source, position)
    assert found + more == expected(broker.directory)


@pytest.mark.parametrize("window", [4096, 1 << 20])
def test_segments_are_followed_whatever_is_read_at_a_time(broker: Broker, clock: Clock, window: int) -> None:
    write(broker, 150)
    write(broker, 50)
    assert len(broker.segments()) > 2
    follower = JournalSource(broker.directory, BROKER, lambda key_id: KEY, clock, window=window)
    assert drain(follower)[0] == expected(broker.directory)


def test_reading_a_position_again_gives_the_same(broker: Broker, source: JournalSource) -> None:
    write(broker, 30)
    first = source.read(None)
    assert source.read(None) == first
    assert drain(source, first.position) == drain(source, first.position)


def test_a_journal_that_is_written_and_killed_is_followed_exactly_once(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "key.der").write_bytes(BROKER_KEY.to_der())
    follower = JournalSource(broker.directory, BROKER, lambda key_id: KEY, time.monotonic)
    found: list[bytes] = []
    position: Position | None = None
    for seed in range(3):
        place = (str(tmp_path / "key.der"), str(broker.directory), str(broker.segment_bytes), str(seed))
        command = [sys.executable, "-m", "tests.bus.ledger.journal_child", *place]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            try:
                assert child.stdout is not None
                child.stdout.readline()
                until = time.monotonic() + 0.5
                while time.monotonic() < until:
                    portion = follower.read(position)
                    found += portion.entries
                    position = portion.position
            finally:
                child.kill()
                child.communicate()
    broker.open().close()  # recovers: torn tails are overwritten, open calls settled
    more, _ = drain(follower, position)
    assert found + more == expected(broker.directory)
    assert len(set(found + more)) == len(found + more) > 10


def last_group(broker: Broker) -> tuple[Path, int]:
    """Segment and end of the newest group."""
    segment, group = broker.segments()[-1], broker.groups()[-1]
    return segment, group.records[-1].offset + group.records[-1].size + 196


def change(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_torn_tail_is_not_integrated_and_is_the_end(broker: Broker, source: JournalSource, clock: Clock) -> None:
    write(broker, 5)
    wanted = expected(broker.directory)
    segment, end = last_group(broker)
    lost = len(broker.groups()[-1].leaves()) + sum(r.kind == 3 for r in broker.groups()[-1].records)
    change(segment, end - 100, bytes(100))  # the end of the newest commit never reached the disk
    found: list[bytes] = []
    position: Position | None = None
    for _ in range(3):
        portion = source.read(position)
        found += portion.entries
        position = portion.position
    assert not portion.complete
    clock.now += SETTLE_S
    assert source.read(position).complete
    assert found == wanted[: len(wanted) - lost]


def test_a_flipped_bit_is_refused_and_what_was_before_it_is_kept(
    broker: Broker, source: JournalSource, clock: Clock
) -> None:
    write(broker, 20)
    wanted = expected(broker.directory)
    bad = broker.groups()[8].records[0]
    change(broker.segments()[0], bad.offset + 60, bytes([broker.segments()[0].read_bytes()[bad.offset + 60] ^ 1]))
    portion = source.read(None)
    assert portion.entries == tuple(wanted[: len(portion.entries)])
    assert portion.entries
    assert not source.read(portion.position).complete
    clock.now += SETTLE_S
    with pytest.raises(SourceRefused, match="damaged"):
        source.read(portion.position)


def rechained(broker: Broker, edit: Callable[[bytearray], None]) -> None:
    """Rewrite the newest commit with a right CRC and chain: what anybody without the gate key can do."""
    segment, end = last_group(broker)
    data = bytearray(segment.read_bytes())
    commit = data[end - 196 : end]
    before = broker.groups()[-1].records[-1].chain
    edit(commit)
    commit[20:52] = sha256(before + commit[0:4] + commit[8:20] + commit[52:]).digest()
    commit[4:8] = struct.pack("<I", crc32c(bytes(data[56:72] + commit[0:4] + commit[8:])))
    change(segment, end - 196, bytes(commit))


def test_a_commit_that_the_gate_key_did_not_sign_is_refused(broker: Broker, source: JournalSource) -> None:
    journal = broker.open()
    call(journal)
    _, position = drain(source)
    call(journal)
    journal.close()

    def forge(commit: bytearray) -> None:
        commit[-1] ^= 1

    rechained(broker, forge)
    with pytest.raises(SourceRefused, match="signature"):
        drain(source, position)


def test_a_rolled_back_journal_is_refused_with_both_commits(
    broker: Broker, source: JournalSource, tmp_path: Path
) -> None:
    write(broker, 3)
    shutil.copytree(broker.directory, tmp_path / "old")
    write(broker, 3)
    _, position = drain(source)
    shutil.rmtree(broker.directory)
    shutil.copytree(tmp_path / "old", broker.directory)
    with pytest.raises(SourceRefused, match="rolled back") as caught:
        source.read(position)
    assert caught.value.evidence["integrated commit"].hex() == position["commit"]
    write(broker, 9)  # and went on: the same sequences tell of other calls
    with pytest.raises(SourceRefused, match="rolled back"):
        source.read(position)


def test_a_segment_that_is_gone_is_refused(broker: Broker, source: JournalSource) -> None:
    write(broker, 150)
    first, *_ = broker.segments()
    data = first.read_bytes()
    first.unlink()
    with pytest.raises(SourceRefused, match="first segment is gone"):
        source.read(None)
    first.write_bytes(data)
    position = source.read(None).position
    first.unlink()
    with pytest.raises(SourceRefused, match="is gone"):
        source.read(position)


@pytest.mark.parametrize(
    "name",
    [
        "journal-old.seg",
        "journal-.seg",
        "journal-00000000000000000001.seg.seg",
        "journal-copy-00000000000000000001.seg",
        "journal-0000000000000000000x.seg",
        "journal-000000000000000000001.seg",
        "journal-٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٠٢.seg",
    ],
)
def test_only_exact_names_are_segments(broker: Broker, source: JournalSource, name: str) -> None:
    """A copy that somebody left beside the journal ends nobody's reading."""
    write(broker, 3)
    (broker.directory / name).write_bytes(b"not a segment")
    assert drain(source)[0] == expected(broker.directory) != []
    assert JournalTail(broker.directory).newest() >= 3


def test_a_journal_that_is_not_there_yet_is_waited_for(tmp_path: Path, clock: Clock) -> None:
    follower = JournalSource(tmp_path / "journal", BROKER, lambda key_id: KEY, clock)
    with pytest.raises(SourceUnavailable):
        follower.read(None)
    (tmp_path / "journal").mkdir()
    assert follower.read(None) == Portion((), {}, complete=True)


def test_another_brokers_journal_is_refused(broker: Broker, clock: Clock) -> None:
    write(broker, 1)
    other = KeyRecord(BROKER + "2", 0, 1 << 62, BROKER_KEY.public_key)
    for name, key in ((BROKER + "2", other), (BROKER + "2", KEY), (BROKER, other)):
        with pytest.raises(SourceRefused):
            JournalSource(broker.directory, name, lambda key_id, key=key: key, clock).read(None)  # type: ignore[misc]  # bound now


def test_a_gate_key_that_a_stranger_certified_is_refused(broker: Broker, clock: Clock) -> None:
    write(broker, 1)
    stranger = KeyRecord(BROKER, 0, 1 << 62, PrivateKey.generate().public_key)
    with pytest.raises(SourceRefused, match="certified"):
        JournalSource(broker.directory, BROKER, lambda key_id: stranger, clock).read(None)


def test_a_gate_key_whose_signer_is_not_known_here_waits(broker: Broker, clock: Clock) -> None:
    write(broker, 1)
    known: list[KeyRecord | None] = [None]
    follower = JournalSource(broker.directory, BROKER, lambda key_id: known[0], clock)
    with pytest.raises(SourceUnavailable):
        follower.read(None)
    known[0] = KEY
    assert drain(follower)[0] == expected(broker.directory)
