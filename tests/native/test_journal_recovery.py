"""After any stop the journal says what was acknowledged, no less; damage is never taken for a torn write."""

import random
import signal
import struct
from pathlib import Path

import pytest

from native.journal import (
    CleanStop,
    Intent,
    JournalDamaged,
    JournalError,
    Kind,
    Outcome,
    Record,
    find_call,
    load_segments,
    read_groups,
)
from tests.native.journals import REQUEST_SIGNATURE, SMALL, Broker, call, done, request, start_child

UNKNOWN = 4


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path)


def crash_copy(broker: Broker, to: Path) -> Broker:
    """The directory as a crash at this moment would leave it."""
    for file in broker.directory.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return Broker(to, broker.segment_bytes)


def test_an_intent_left_open_gets_the_outcome_unknown_once(broker: Broker) -> None:
    journal = broker.open()
    open_header, settled_header = request(), request()
    left = journal.submit_intent(open_header, REQUEST_SIGNATURE, snapshot_version=3).wait()
    settled = journal.submit_intent(settled_header, REQUEST_SIGNATURE).wait()
    done(journal, settled_header, settled).wait()
    journal.close()
    for expected in (1, 0, 0):
        journal = broker.open()
        assert journal.recovered()["unknown"] == expected
        journal.close()
    unknown = [e.receipt for e in broker.entries(Outcome) if e.receipt.outcome == UNKNOWN]
    assert [r.intent_sequence for r in unknown] == [left[0]]
    assert (unknown[0].intent_time_ms, unknown[0].snapshot_version) == (left[1], 3)
    found = find_call(load_segments(broker.directory), open_header[2:18])
    assert found is not None
    assert found.outcome is not None
    assert found.gate_key != found.receipt_gate_key  # settled by the next process, provable by its key


def test_many_open_intents_are_settled_in_groups_and_segments(broker: Broker) -> None:
    broker.segment_bytes = 4 << 20
    journal = broker.open()
    for _ in range(40):
        for pending in [journal.submit_intent(request(), REQUEST_SIGNATURE) for _ in range(20)]:
            pending.wait()
    journal.close()
    broker.segment_bytes = SMALL
    journal = broker.open()
    assert journal.recovered()["unknown"] == 800
    journal.close()
    assert len(broker.entries(Outcome)) == len(broker.entries(Intent)) == 800


def test_an_intent_open_over_many_segments_is_still_settled(broker: Broker) -> None:
    journal = broker.open()
    left = journal.submit_intent(request(), REQUEST_SIGNATURE).wait()
    while len(broker.segments()) < 6:
        call(journal)
    journal.close()
    journal = broker.open()
    assert journal.recovered()["unknown"] == 1
    journal.close()
    assert [e.receipt.intent_sequence for e in broker.entries(Outcome) if e.receipt.outcome == UNKNOWN] == [left[0]]


def test_after_a_crash_everything_acknowledged_is_there(
    broker: Broker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal = broker.open()
    calls = [call(journal) for _ in range(20)]
    copy = crash_copy(broker, tmp_path_factory.mktemp("crash"))
    journal.close()
    restarted = copy.open()
    assert restarted.recovered()["next_sequence"] > calls[-1][1][0]
    assert restarted.recovered()["torn_bytes"] == 0
    restarted.close()
    assert not any(e.receipt.outcome == UNKNOWN for e in copy.entries(Outcome))
    assert len(copy.entries(CleanStop)) == 1


def whole(data: bytes, name: str) -> list[tuple[int, int, list[Record]]]:
    """(start, end, records) of each group, commits included in the span."""
    spans, at = [], 128
    for group in read_groups([(name, data)]):
        end = group.records[-1].offset + group.records[-1].size + 196
        spans.append((at, end, list(group.records)))
        at = end
    return spans


def crashed_file(broker: Broker) -> tuple[Path, bytes, list[tuple[int, int, list[Record]]]]:
    """A journal of one segment that ended without a clean stop, its bytes and its groups."""
    journal = broker.open()
    for _ in range(3):
        call(journal)
    pending = [journal.submit_intent(request(), REQUEST_SIGNATURE) for _ in range(4)]
    for each in pending:
        each.wait()
    (file,) = broker.segments()
    data = file.read_bytes()
    journal.close()
    file.write_bytes(data)
    spans = whole(data, file.name)
    assert len(spans[-1][2]) >= 1
    return file, data, spans


def refusal_of(broker: Broker) -> str:
    """Why it does not open, or nothing."""
    try:
        broker.open().close()
    except JournalError as error:
        return error.reason
    return ""


def test_a_torn_last_group_is_cut_and_nothing_before_it(broker: Broker) -> None:
    """After a power loss any part of the last write may be missing, in whole sectors: the group goes, no more."""
    file, data, spans = crashed_file(broker)
    start, end, _ = spans[-1]
    chance = random.Random("govbus torn")
    sectors = list(range(start // 512, -(-end // 512)))
    kept = [record.sequence for span in spans[:-1] for record in span[2]]
    for _ in range(40):
        torn = bytearray(data)
        for sector in chance.sample(sectors, chance.randrange(1, len(sectors) + 1)):
            lost = range(max(start, sector * 512), min(end, sector * 512 + 512))
            torn[lost.start : lost.stop] = bytes(len(lost))
        file.write_bytes(torn)
        journal = broker.open()
        found = [r.sequence for r in broker.records() if r.kind is not Kind.START]
        journal.close()
        assert [s for s in found if s in kept] == [s for s in kept if s > 1]
        assert journal.recovered()["next_sequence"] >= kept[-1]
        broker.open().close()  # and what was cut stays cut


def test_a_write_cut_at_any_sector_is_torn(broker: Broker) -> None:
    file, data, spans = crashed_file(broker)
    start, end, _ = spans[-1]
    for cut in range(-(-start // 512) * 512, end, 512):
        torn = data[:cut] + bytes(len(data) - cut)
        assert len(whole(torn, file.name)) == len(spans) - 1
        file.write_bytes(torn)
        assert refusal_of(broker) == ""


def test_a_flipped_byte_anywhere_in_what_was_acknowledged_is_found(broker: Broker) -> None:
    """The last group included: it was acknowledged, and no lost sector looks like a flipped bit."""
    file, data, spans = crashed_file(broker)
    chance = random.Random("govbus journal flips")
    last, used = spans[-1][:2]
    heads = [span[0] + i for span in spans for i in range(0, 52, 3)]
    for at in sorted({*heads, *range(0, used, 41), *range(last, used, 5), *range(used - 196, used, 3)}):
        flipped = bytearray(data)
        flipped[at] ^= chance.choice((1, 0x10, 0xFF))
        file.write_bytes(flipped)
        assert refusal_of(broker) == "corrupt", at
        if at % 3 == 0 or at >= used - 196:
            with pytest.raises(JournalDamaged):
                list(read_groups([(file.name, bytes(flipped))]))


def test_lost_acknowledged_sectors_are_damage_unless_they_are_the_last(broker: Broker) -> None:
    file, data, spans = crashed_file(broker)
    for start, end, _ in spans[1:-2]:
        lost = bytearray(data)
        lost[start:end] = bytes(end - start)
        file.write_bytes(lost)
        assert refusal_of(broker) == "corrupt"


def test_rubbish_behind_the_end_is_cut(broker: Broker) -> None:
    file, data, spans = crashed_file(broker)
    end = spans[-1][1]
    for rubbish in (b"\xff" * 40, bytes(3) + b"x", struct.pack("<I", 60) + bytes(12) + b"\x01" + bytes(90) + b"z"):
        file.write_bytes(data[:end] + rubbish + data[end + len(rubbish) :])
        journal = broker.open()
        assert journal.recovered()["torn_bytes"] > 0
        journal.close()
        assert list(read_groups(load_segments(broker.directory)))


@pytest.mark.parametrize("missing", ["first", "middle", "last", "half"])
def test_missing_files_are_damage(broker: Broker, missing: str) -> None:
    journal = broker.open()
    journal.submit_intent(request(), REQUEST_SIGNATURE).wait()
    while len(broker.segments()) < 4:
        call(journal)
    journal.close()
    files = broker.segments()
    if missing == "half":
        files[-1].write_bytes(files[-1].read_bytes()[: SMALL // 2])
    else:
        files[{"first": 0, "middle": 1, "last": 2}[missing]].unlink()
    assert refusal_of(broker) == "corrupt"


def test_old_segments_may_be_taken_away(broker: Broker) -> None:
    """What the newest segment's header does not name any more is the ledger's, not recovery's."""
    journal = broker.open()
    while len(broker.segments()) < 4:
        call(journal)
    journal.close()
    newest = broker.segments()[-1].read_bytes()
    assert struct.unpack_from("<Q", newest, 24)[0] == 1  # ids of 90 s are still needed: all of them, here
    assert refusal_of(broker) == ""


def test_a_damaged_journal_is_left_as_it_was(broker: Broker) -> None:
    file, data, spans = crashed_file(broker)
    flipped = bytearray(data)
    flipped[spans[2][0] + 60] ^= 1
    file.write_bytes(flipped)
    assert refusal_of(broker) == "corrupt"
    assert file.read_bytes() == flipped


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_moment_nothing_acknowledged_is_lost(broker: Broker, seed: int) -> None:
    chance = random.Random(f"govbus kill {seed}")
    intents: dict[int, str] = {}
    outcomes: set[int] = set()
    for _ in range(2):
        child = start_child(broker, seed)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        wanted = chance.randrange(1, 400)
        lines = []
        for line in child.stdout:
            lines.append(line)
            if len(lines) == wanted:
                child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for line in lines:
            if line.endswith("\n"):
                kind, sequence, *rest = line.split()
                if kind == "I":
                    intents[int(sequence)] = rest[0]
                else:
                    outcomes.add(int(sequence))
    journal = broker.open()
    next_sequence = journal.recovered()["next_sequence"]
    seen = {each.hex() for _, each, _ in journal.seen}
    journal.close()
    written = {e.admission.sequence: e.request.request_id.hex() for e in broker.entries(Intent)}
    assert intents.items() <= written.items()
    assert max(written) < next_sequence
    assert set(intents.values()) <= seen  # none of them is admitted twice
    settled = [e.receipt for e in broker.entries(Outcome)]
    assert sorted(r.intent_sequence for r in settled) == sorted(written)  # exactly one each
    assert outcomes <= {r.intent_sequence for r in settled if r.outcome != UNKNOWN}
