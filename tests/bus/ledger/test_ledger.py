"""The loop: many sources, checkpoints within a second, one bad source stops nobody else, a restart loses nothing."""

import logging
import threading
import time
from pathlib import Path

import pytest

from bus.exchange.view import KeyRecord
from bus.ledger.head import Position
from bus.ledger.journal_source import JournalSource
from bus.ledger.ledger import Ledger
from bus.ledger.note import NoteSigner
from bus.ledger.reader import LedgerReader
from bus.ledger.sequencer import Sequencer, SequencerBroken
from bus.ledger.source import Portion, SourceRefused, SourceUnavailable
from bus.up.ledger_process import may_end
from tests.bus.ledger.support import entries, signer
from tests.bus.ledger.test_journal_source import KEY, expected, write
from tests.native.journals import Broker, call
from tests.native.samples import BROKER


class Counted:
    """A source of `total` entries, `step` at a time; raises `error` instead while there is one."""

    def __init__(self, name: str, total: int, step: int = 10) -> None:
        self.name = name
        self.step = step
        self.all = entries(total)
        self.error: Exception | None = None

    def read(self, position: Position | None) -> Portion:
        if self.error:
            raise self.error
        at = int(position["at"]) if position else 0
        end = min(at + self.step, len(self.all))
        return Portion(tuple(self.all[at:end]), {"at": end}, end == len(self.all), more=end < len(self.all))


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def key() -> NoteSigner:
    return signer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def wall_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def test_all_sources_are_integrated_each_in_its_order(tmp_path: Path, key: NoteSigner, clock: Clock) -> None:
    sources = [Counted("a", 35), Counted("b", 5)]
    with Sequencer(tmp_path / "ledger", key) as sequencer, Ledger(sequencer, sources, clock, patience_s=30) as ledger:
        while ledger.round():
            pass
        assert ledger.checkpoint.size == 40
    reader = LedgerReader(tmp_path / "ledger", key.verifier)
    for source in sources:
        places = [reader.prove_entry(entry).index for entry in source.all]
        assert places == sorted(places)


def test_a_round_without_news_signs_nothing(tmp_path: Path, key: NoteSigner, clock: Clock) -> None:
    with (
        Sequencer(tmp_path / "ledger", key) as sequencer,
        Ledger(sequencer, [Counted("a", 3)], clock, patience_s=30) as ledger,
    ):
        ledger.round()
        head = (tmp_path / "ledger/head").stat()
        assert not ledger.round()
        assert (tmp_path / "ledger/head").stat() == head


def test_a_refused_source_stops_nobody_else_and_shows_its_evidence(
    tmp_path: Path, key: NoteSigner, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = Counted("bad", 20), Counted("good", 20)
    with (
        Sequencer(tmp_path / "ledger", key) as sequencer,
        Ledger(sequencer, [bad, good], clock, patience_s=30) as ledger,
    ):
        ledger.round()
        bad.error = SourceRefused("it was rolled back", {"found": b"x"})
        clock.now += 500
        for _ in range(3):
            ledger.round()
            clock.now += 1_000
        assert ledger.checkpoint.size == 30
        found = ledger.status()
        assert (found.sources["bad"].error, found.sources["bad"].evidence) == ("it was rolled back", {"found": b"x"})
        assert found.sources["good"].error == ""
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        bad.error = None
        ledger.round()
        assert ledger.checkpoint.size == 40
        assert ledger.status().sources["bad"].error == ""


def test_lag_is_what_is_not_known_to_be_integrated(tmp_path: Path, key: NoteSigner, clock: Clock) -> None:
    source = Counted("a", 20)
    with Sequencer(tmp_path / "ledger", key) as sequencer, Ledger(sequencer, [source], clock, patience_s=30) as ledger:
        assert ledger.status().lag_ms is None
        ledger.round()
        assert ledger.status().lag_ms is None  # half of it is not read yet
        ledger.round()
        assert ledger.status().lag_ms == 0
        source.error = SourceUnavailable("away")
        for _ in range(4):
            clock.now += 1_000
            ledger.round()
        assert ledger.status().lag_ms == 4_000


def test_two_sources_of_one_name_are_refused(tmp_path: Path, key: NoteSigner, clock: Clock) -> None:
    with Sequencer(tmp_path / "ledger", key) as sequencer, pytest.raises(ValueError, match="same name"):
        Ledger(sequencer, [Counted("a", 1), Counted("a", 1)], clock)


def test_a_broken_ledger_ends_the_loop(tmp_path: Path, key: NoteSigner, clock: Clock) -> None:
    sequencer = Sequencer(tmp_path / "ledger", key)
    sequencer.close()
    with Ledger(sequencer, [Counted("a", 3)], clock, patience_s=30) as ledger, pytest.raises(SequencerBroken):
        ledger.run(threading.Event())


class Hanging(Counted):
    """A source that answers when it is let."""

    def __init__(self, name: str, total: int) -> None:
        super().__init__(name, total)
        self.let = threading.Event()

    def read(self, position: Position | None) -> Portion:
        self.let.wait()
        return super().read(position)


def test_a_source_that_hangs_keeps_nobody_waiting(tmp_path: Path, key: NoteSigner, clock: Clock) -> None:
    slow, fast = Hanging("slow", 5), Counted("fast", 30)
    with (
        Sequencer(tmp_path / "ledger", key) as sequencer,
        Ledger(sequencer, [slow, fast], clock, patience_s=2) as ledger,
    ):
        try:
            for _ in range(3):
                ledger.round()
                clock.now += 1_000
            assert ledger.checkpoint.size == 30
            assert ledger.status().sources["fast"].lag_ms == 1_000
            assert ledger.status().lag_ms is None
        finally:
            slow.let.set()
        while ledger.checkpoint.size < 35:
            ledger.round()


def test_ledger_ends_when_all_was_said_or_at_once_when_its_supervisor_died(
    tmp_path: Path, key: NoteSigner, clock: Clock
) -> None:
    """A source that is dying, too, would keep the next process from the lock for as long as it is waited for."""
    slow = Hanging("slow", 5)
    with Sequencer(tmp_path / "log", key) as sequencer, Ledger(sequencer, [slow], clock, patience_s=0.01) as ledger:
        try:
            ledger.round()
            assert not may_end(ledger, 100, orphaned=False), "it was not read to its end"
            assert may_end(ledger, 100, orphaned=True)
        finally:
            slow.let.set()
        while ledger.status().lag_ms is None:
            ledger.round()
        assert may_end(ledger, 100, orphaned=False)


def test_live_calls_are_in_a_checkpoint_within_a_second(tmp_path: Path, key: NoteSigner) -> None:
    (tmp_path / "journal").mkdir()
    broker = Broker(tmp_path / "journal")
    known: KeyRecord = KEY
    write(broker, 20)
    stop = threading.Event()
    with Sequencer(tmp_path / "ledger", key) as sequencer:
        source = JournalSource(broker.directory, BROKER, lambda key_id: known, time.monotonic)
        ledger = Ledger(sequencer, [source], wall_ms)
        thread = threading.Thread(target=ledger.run, args=(stop,))
        thread.start()
        try:
            journal = broker.open()
            delays = []
            for _ in range(5):
                call(journal)
                began, wanted = time.monotonic(), len(expected(broker.directory))
                while ledger.checkpoint.size < wanted and time.monotonic() - began < 15:
                    time.sleep(0.01)
                assert ledger.checkpoint.size == wanted
                delays.append(time.monotonic() - began)
            journal.close()
        finally:
            stop.set()
            thread.join()
            ledger.close()
    assert sorted(delays)[2] < 1  # typically; a single one may wait for a busy disk
    with (
        Sequencer(tmp_path / "ledger", key) as sequencer,
        Ledger(sequencer, [source], wall_ms, patience_s=30) as ledger,
    ):
        ledger.round()  # a restart reads nothing twice
        assert sequencer.checkpoint.size == wanted
    reader = LedgerReader(tmp_path / "ledger", key.verifier)
    assert [reader.prove_entry(entry).index for entry in expected(broker.directory)] == list(range(wanted))
