"""Disks that fill up, refuse or vanish: what was accepted is settled, the rest is refused before anybody is told.

No fault is simulated inside the journal: file size limits of a child process, a small tmpfs where the tests may mount
one, and directories that vanish or never were.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from native.journal import Intent, JournalError, Outcome
from tests.native.journals import REQUEST_SIGNATURE, SMALL, Broker, call, done, request

FULL_DISK = 12 * SMALL
SCENARIOS = "tests.native.journal_faults_child"


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of twelve segments."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root; the file size limit tests cover an ordinary user")
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", f"size={FULL_DISK}", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("this machine lets nobody mount a small disk; the file size limit tests stand in")
    yield tmp_path
    subprocess.run(["/bin/umount", "-l", str(tmp_path)], check=True)


def until(true: Callable[[], bool]) -> None:
    """Waits for something another thread does."""
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("it never came true within 5 s")


def fill(journal: Any) -> list[tuple[bytes, Any]]:
    """Admits intents until the journal is full."""
    admitted = []
    while True:
        header = request()
        try:
            admitted.append((header, journal.submit_intent(header, REQUEST_SIGNATURE).wait()))
        except JournalError as error:
            if error.reason != "full":
                raise
            if journal.stats()["last_errno"] != 0:  # else the next segment is still being reserved
                return admitted


def test_a_full_disk_refuses_intents_and_still_takes_every_outcome(small_disk: Path) -> None:
    broker = Broker(small_disk)
    journal = broker.open()
    admitted = fill(journal)
    assert len(admitted) > 50
    assert journal.state == "full"
    for header, intent in admitted:
        done(journal, header, intent).wait()
    journal.close()
    assert len(broker.entries(Outcome)) == len(admitted)


def test_after_a_crash_on_a_full_disk_every_open_intent_is_settled(small_disk: Path) -> None:
    broker = Broker(small_disk)
    journal = broker.open()
    admitted = fill(journal)
    journal.close()  # the outcomes were never submitted, as after a crash
    journal = broker.open()
    assert journal.recovered()["unknown"] == len(admitted)
    journal.close()


def test_a_disk_that_has_room_again_is_used_again(small_disk: Path) -> None:
    broker = Broker(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(7 * SMALL))
    journal = broker.open()
    admitted = fill(journal)
    ballast.unlink()
    until(lambda: journal.state == "")
    assert len(fill(journal)) > 20
    assert len(admitted) > 20
    journal.close()


def test_no_room_for_a_first_segment_is_said_so(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(FULL_DISK - SMALL // 2))
    with pytest.raises(JournalError) as refused:
        Broker(small_disk).open()
    assert refused.value.reason == "full"


def in_child(scenario: str, broker: Broker, limit: int) -> dict[str, Any]:
    """Runs a scenario of the child in a process whose files may not grow beyond `limit` bytes."""
    ran = subprocess.run(
        [sys.executable, "-m", SCENARIOS, scenario, str(broker.directory), str(limit)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def test_a_file_limit_below_a_segment_refuses_to_open(broker: Broker) -> None:
    assert in_child("open", broker, SMALL // 2) == {"refused": "full"}


def test_a_failed_write_breaks_the_journal_for_good(broker: Broker) -> None:
    said = in_child("write fails", broker, SMALL)
    assert said["before"] == "acknowledged"
    # The write that met the limit, everything queued with it, and everything later.
    assert set(said["during"]) == {"broken"}
    assert said["after"] == {
        "intent": "broken",
        "outcome": "broken",
        "state": "broken",
        "although": "the limit is gone",
    }
    journal = broker.open()  # a new process starts from what was acknowledged
    assert journal.recovered()["unknown"] == said["open"]
    call(journal)
    journal.close()
    assert {e.admission.sequence for e in broker.entries(Intent)} >= set(said["sequences"])


def test_a_directory_that_vanishes_is_noticed_before_room_runs_out(broker: Broker, tmp_path: Path) -> None:
    inner = Broker(tmp_path / "journal")
    inner.directory.mkdir()
    journal = inner.open()
    call(journal)
    for file in inner.directory.iterdir():
        file.unlink()
    inner.directory.rmdir()
    reasons = set()
    for _ in range(200):
        try:
            call(journal)
        except JournalError as error:
            reasons.add(error.reason)
            if error.reason == "broken":
                break
    assert reasons
    assert reasons <= {"full", "broken"}
    journal.close()


@pytest.mark.parametrize("what", ["missing", "a file", "a link to a lock elsewhere"])
def test_a_directory_that_is_none_is_refused(tmp_path: Path, what: str) -> None:
    broker = Broker(tmp_path / "journal")
    if what == "a file":
        broker.directory.write_bytes(b"")
    elif what == "a link to a lock elsewhere":
        broker.directory.mkdir()
        (broker.directory / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError) as refused:
        broker.open()
    assert refused.value.reason == "io"
    assert refused.value.errno != 0


def test_files_are_for_their_owner_only(broker: Broker) -> None:
    journal = broker.open()
    call(journal)
    assert {file.stat().st_mode & 0o777 for file in broker.directory.iterdir()} == {0o600}
    journal.close()
