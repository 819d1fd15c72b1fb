"""What grants used today is found again exactly: after kill -9, over midnight, with and without the counters' file."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from native._fast import QuotaTable, crc32c
from native.journal import JournalError
from tests.native.journals import REQUEST_SIGNATURE, Broker, call, request
from tests.native.quotas import COUNTERS, DAY_MS, GRANTS, counted_call, counters_of, recovered, request_by, used
from tests.support.stepped_clock import SteppedClock

LONG_AGO = 0
Child = subprocess.Popen[str]
Children = list[Child]


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    place = tmp_path / "journal"
    place.mkdir()
    return Broker(place)


@pytest.fixture(autouse=True)
def no_midnight() -> None:
    """Each test lies within one day of the machine's clock."""
    left = DAY_MS - now_ms() % DAY_MS
    if left < 60_000:
        time.sleep(left / 1000 + 1)


def now_ms() -> int:
    return int(time.time() * 1000)


def copied(broker: Broker, to: Path) -> Broker:
    """The directory as it lies, elsewhere."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(broker.directory, to)
    return Broker(to, broker.segment_bytes)


def some_calls(broker: Broker, segments: int = 4, *, chance: random.Random) -> None:
    """Calls of every grant over so many segments, in one process that ends cleanly."""
    table = QuotaTable(8)
    journal = broker.open(quota=table)
    while len(broker.segments()) < segments or not (broker.directory / COUNTERS).exists():
        grant = chance.choice(GRANTS)
        counted_call(journal, table, grant, now_ms(), chance.randrange(9_000), chance.randrange(9_000), os.urandom(16))
    journal.close()


def start_child(children: Children, broker: Broker, seed: int, **environment: str) -> Child:
    place = (str(broker.directory), str(broker.segment_bytes), str(seed))
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.native.quota_child", *place],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    children.append(child)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def rounds(child: Child, count: int) -> None:
    assert child.stdout is not None
    for _ in range(count):
        assert child.stdout.readline()


def kill(child: Child) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()


@pytest.fixture
def children() -> Iterator[Children]:
    """Whatever a test that fails leaves behind."""
    found: Children = []
    yield found
    for child in found:
        if child.poll() is None:
            kill(child)


def test_counts_in_the_table_are_those_of_the_journal(broker: Broker) -> None:
    table = QuotaTable(8)
    journal = broker.open(quota=table)
    counted_call(journal, table, GRANTS[0], now_ms(), 100, 7, os.urandom(16))
    counted_call(journal, table, GRANTS[0], now_ms(), 0, 0, os.urandom(16))
    call(journal)  # of a grant without limits
    assert table.row("grant-7") is None
    assert used(broker, LONG_AGO) == {GRANTS[0]: table.row(GRANTS[0])[:3]}  # type: ignore[index]
    assert table.row(GRANTS[0])[1:] == (2, 107, 0, 0)  # type: ignore[index]
    assert table.used == 1
    journal.close()
    assert recovered(broker) == used(broker, LONG_AGO)


def test_an_intent_that_never_becomes_a_record_is_given_back(broker: Broker) -> None:
    table = QuotaTable(8)
    journal = broker.open(quota=table)
    refused = table.take(GRANTS[0], 1, now_ms(), calls=9)[2]
    with pytest.raises(JournalError):
        journal.submit_intent(b"", REQUEST_SIGNATURE, counted=refused)
    undecodable = table.take(GRANTS[0], 1, now_ms(), calls=9)[2]
    journal.close()
    with pytest.raises(JournalError):
        journal.submit_intent(request(), REQUEST_SIGNATURE, counted=undecodable)
    del refused, undecodable
    assert table.row(GRANTS[0]) == (0, 0, 0, 0, 0)


def test_the_counters_name_what_was_used_before_their_segment(broker: Broker) -> None:
    some_calls(broker, chance=random.Random("govbus counters"))
    sequence, begin, rows = counters_of(broker.directory)
    firsts = [int(file.name[8:28]) for file in broker.segments()]
    assert sequence + 1 in firsts
    assert begin in firsts
    assert rows.keys() <= used(broker, LONG_AGO).keys()
    assert recovered(broker) == used(broker, LONG_AGO)


@pytest.mark.parametrize("seed", range(2))
def test_after_kills_at_any_moment_every_count_is_exact(
    broker: Broker, tmp_path: Path, children: Children, seed: int
) -> None:
    chance = random.Random(f"govbus quota kills {seed}")
    for life in range(3):
        child = start_child(children, broker, 10 * seed + life)
        rounds(child, chance.randrange(1, 25))
        time.sleep(chance.random() * 0.05)
        kill(child)
        expected = used(broker, now_ms() // DAY_MS)
        assert recovered(copied(broker, tmp_path / "as-it-lies")) == expected
        without = copied(broker, tmp_path / "without")
        (without.directory / COUNTERS).unlink(missing_ok=True)
        assert recovered(without) == expected


def test_damaged_counters_are_not_believed(broker: Broker, tmp_path: Path) -> None:
    chance = random.Random("govbus counters damage")
    some_calls(broker, chance=chance)
    expected, data = used(broker, LONG_AGO), (broker.directory / COUNTERS).read_bytes()
    damaged = [b"", data[:-1], data[:40], data + b"\0", bytes(len(data)), os.urandom(300)]
    for _ in range(6):
        at = chance.randrange(len(data))
        damaged.append(data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :])
    for bad in damaged:
        other = copied(broker, tmp_path / "damaged")
        (other.directory / COUNTERS).write_bytes(bad)
        assert recovered(other) == expected


def resealed(data: bytes) -> bytes:
    return data[:-4] + crc32c(data[:-4]).to_bytes(4, "little")


def test_counters_of_another_history_are_not_believed(broker: Broker, tmp_path: Path) -> None:
    chance = random.Random("govbus counters foreign")
    some_calls(broker, chance=chance)
    (tmp_path / "other").mkdir()
    other = Broker(tmp_path / "other")
    some_calls(other, chance=chance)
    expected, data = used(broker, LONG_AGO), (broker.directory / COUNTERS).read_bytes()
    foreign = (other.directory / COUNTERS).read_bytes()
    no_segment = resealed(data[:8] + (5).to_bytes(8, "little") + data[16:])
    no_begin = resealed(data[:16] + (5).to_bytes(8, "little") + data[24:])
    beyond = resealed(data[:8] + b"\xff" * 8 + data[16:])
    ahead = resealed(data[:-21] + (1 << 40).to_bytes(8, "little") + data[-13:])  # its last row counts a record to come
    for bad in (foreign, no_segment, no_begin, beyond, ahead):
        assert bad != data
        there = copied(broker, tmp_path / "there")
        (there.directory / COUNTERS).write_bytes(bad)
        assert recovered(there) == expected


def test_old_counters_are_brought_up_to_date(broker: Broker, tmp_path: Path) -> None:
    chance = random.Random("govbus counters old")
    some_calls(broker, 3, chance=chance)
    old = (broker.directory / COUNTERS).read_bytes()
    some_calls(broker, 7, chance=chance)
    assert counters_of(broker.directory)[0] > int.from_bytes(old[8:16], "little")
    (broker.directory / COUNTERS).write_bytes(old)
    assert recovered(broker) == used(broker, LONG_AGO)


def test_an_answer_that_comes_segments_later_counts_after_a_kill(broker: Broker, tmp_path: Path) -> None:
    table = QuotaTable(8)
    journal = broker.open(quota=table)
    header = request_by(GRANTS[0], os.urandom(16))
    pending = journal.submit_intent(header, REQUEST_SIGNATURE, counted=table.take(GRANTS[0], 1, now_ms(), calls=9)[2])
    intent = pending.wait()
    while len(broker.segments()) < 5:
        counted_call(journal, table, GRANTS[1], now_ms(), 1, 1, os.urandom(16))
    cut = journal.submit_outcome(header, *intent[:2], intent=pending, outcome=3, released=b"r" * 32, released_bytes=99)
    cut.wait()
    crashed = copied(broker, tmp_path / "crashed")
    journal.close()
    assert recovered(crashed)[GRANTS[0]][1:] == (1, 99)
    assert recovered(broker) == used(broker, LONG_AGO)


def test_midnight_begins_a_day_and_a_restart_counts_only_that(
    broker: Broker, tmp_path: Path, children: Children
) -> None:
    (folder := tmp_path / "clock").mkdir()
    clock = SteppedClock(folder)
    midnight = (now_ms() // DAY_MS + 1) * DAY_MS
    clock.step((midnight - now_ms()) // 1000 - 600)
    child = start_child(children, broker, 1, **clock.environment)
    rounds(child, 30)
    clock.step((midnight - now_ms()) // 1000 + 1)
    rounds(child, 30)
    kill(child)
    expected = used(broker, midnight // DAY_MS)
    assert expected
    assert all(row[0] == midnight // DAY_MS for row in expected.values())
    assert sum(row[1] for row in expected.values()) < sum(1 for _ in broker.records())
    for kept in (True, False):
        after = copied(broker, tmp_path / "after")
        if not kept:
            (after.directory / COUNTERS).unlink(missing_ok=True)
        script = (
            "import sys; from pathlib import Path; from tests.native.journals import Broker;"
            "from tests.native.quotas import recovered; print(sorted(recovered(Broker(Path(sys.argv[1]))).items()))"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(after.directory)],
            env={**os.environ, **clock.environment},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.strip() == str(sorted(expected.items()))


def test_a_removed_beginning_of_today_is_missed_unless_the_counters_stand_for_it(
    broker: Broker, tmp_path: Path
) -> None:
    """Segments that are still needed may not go: nobody would know what was used."""
    some_calls(broker, 4, chance=random.Random("govbus quota removed"))
    without = copied(broker, tmp_path / "without")
    (without.directory / COUNTERS).unlink()
    without.segments()[0].unlink()
    with pytest.raises(JournalError) as refused:
        without.open(quota=QuotaTable(8))
    assert refused.value.reason == "corrupt"


def test_more_grants_than_the_table_holds_are_no_reason_to_guess(broker: Broker) -> None:
    table = QuotaTable(4)
    journal = broker.open(quota=table)
    for i in range(9):
        assert table.take(f"g-{i}", 1, now_ms(), calls=9)[0] == 0
        counted_call(journal, table, f"g-{i}", now_ms(), 1, 1, os.urandom(16))
    journal.close()
    with pytest.raises(JournalError) as refused:
        broker.open(quota=QuotaTable(3))
    assert refused.value.reason == "memory"
