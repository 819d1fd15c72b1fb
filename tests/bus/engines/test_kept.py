"""An engine that goes on without its supervisor: real processes, and a supervisor that is killed (bus.engines.records).

The supervisor that dies is a process of its own (tests.support.keeping_child); the next one is this test's.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.engines.logs import RotatingLog
from bus.engines.records import Record, Records
from tests.support.joined import wait_until
from tests.support.keeping_child import is_alive, make_supervisor

TOP = Path(__file__).resolve().parents[3]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[int]:
    """The process of an engine whose supervisor was killed when it was ready."""
    yield orphan(tmp_path, "same")
    for one in Records(tmp_path / "records").living():
        signal.pidfd_send_signal(one.pidfd, signal.SIGKILL)
        os.close(one.pidfd)


def orphan(folder: Path, mark: str) -> int:
    """An engine whose supervisor is gone."""
    command = [sys.executable, "-m", "tests.support.keeping_child", str(folder), mark]
    starting = subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE)
    assert starting.stdout is not None
    pid = int(starting.stdout.readline())
    starting.kill()
    starting.communicate()
    return pid


def record_of(folder: Path) -> Record:
    return Records(folder / "records").of("engine")


def words(folder: Path) -> int:
    return (folder / "engine.log").read_text().count("a word")


def test_engine_of_a_killed_supervisor_goes_on_and_its_log_with_it(tmp_path: Path, engine: int) -> None:
    before = words(tmp_path)
    wait_until(lambda: words(tmp_path) > before + 2, "more words")
    assert is_alive(engine)


def test_next_supervisor_goes_on_with_the_very_process_and_ends_it(tmp_path: Path, engine: int) -> None:
    recalled: list[str] = []
    supervisor = make_supervisor(tmp_path, "same", recall=recalled.append)
    supervisor.start()
    assert (supervisor.pid, supervisor.ready, supervisor.starts, recalled) == (engine, True, 1, ["ready to be heard"])
    assert abs(supervisor.began_ms - time.time() * 1000) < 600_000
    supervisor.stop()
    assert not is_alive(engine)
    assert not record_of(tmp_path).path.exists()


def test_engine_that_is_gone_on_with_is_started_again_when_it_dies(tmp_path: Path, engine: int) -> None:
    supervisor = make_supervisor(tmp_path, "same")
    supervisor.start()
    os.kill(engine, signal.SIGKILL)
    wait_until(lambda: supervisor.ready and supervisor.pid != engine, "another one")
    assert supervisor.starts == 2
    supervisor.stop()
    assert not record_of(tmp_path).path.exists()


def test_engine_that_was_started_otherwise_is_replaced(tmp_path: Path, engine: int) -> None:
    supervisor = make_supervisor(tmp_path, "newer")
    supervisor.start()
    assert supervisor.pid != engine
    assert not is_alive(engine)
    assert "was started otherwise" in (tmp_path / "engine.log").read_text()
    supervisor.stop()


@pytest.mark.parametrize("news", [{"mark": ""}, {"ready": False}], ids=["being ended", "not ready"])
def test_engine_that_was_being_ended_or_was_not_ready_is_replaced(
    tmp_path: Path, engine: int, news: dict[str, object]
) -> None:
    record = record_of(tmp_path)
    if "mark" in news:
        record.note_ending(engine)
        assert json.loads(record.path.read_text())["mark"] == ""
    else:
        record.path.write_text(json.dumps(json.loads(record.path.read_text()) | news))
    supervisor = make_supervisor(tmp_path, "same")
    supervisor.start()
    assert supervisor.pid != engine
    assert not is_alive(engine)
    supervisor.stop()


def test_start_that_failed_leaves_what_it_found(tmp_path: Path, engine: int) -> None:
    records = Records(tmp_path / "records")
    supervisor = make_supervisor(tmp_path, "same", records=records)
    supervisor.start()
    records.leave_found = True
    supervisor.stop()
    assert supervisor.left
    assert is_alive(engine)
    again = make_supervisor(tmp_path, "same")
    again.start()
    assert again.pid == engine
    again.stop()


def test_start_that_failed_ends_what_it_began(tmp_path: Path) -> None:
    records = Records(tmp_path / "records")
    supervisor = make_supervisor(tmp_path, "same", records=records)
    supervisor.start()
    pid = supervisor.pid
    assert pid is not None
    records.leave_found = True
    supervisor.stop()
    assert not supervisor.left
    assert not is_alive(pid)


def test_old_age_counts_from_the_engines_own_start(tmp_path: Path, engine: int) -> None:
    supervisor = make_supervisor(tmp_path, "same", max_age=0.001)
    supervisor.start()
    wait_until(lambda: not is_alive(engine), "the old one's end")
    supervisor.stop()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"started": 1}, id="the number is another's by now"),
        pytest.param({"boot": "9c2c7a3b-0000-4000-8000-000000000000"}, id="the machine was started again"),
        pytest.param({"pid": 1 << 22}, id="nobody has the number"),
        pytest.param({"pid": -1}, id="no number of a process"),
        pytest.param({"pid": "many"}, id="no number at all"),
        pytest.param({"ready": None, "mark": None, "started": None}, id="nothing said"),
    ],
)
def test_process_that_is_not_the_one_written_down_is_neither_found_nor_touched(
    tmp_path: Path, engine: int, wrong: dict[str, object]
) -> None:
    record = record_of(tmp_path)
    right = record.path.read_text()
    record.path.write_text(json.dumps(json.loads(right) | wrong))
    assert record.find() is None
    supervisor = make_supervisor(tmp_path, "other")
    supervisor.start()
    assert supervisor.pid != engine
    assert is_alive(engine)
    supervisor.stop()
    record.path.write_text(right)  # for the fixture's end


@pytest.mark.parametrize("content", [b"", b'{"boot": "', b"[]", b"\xff\xfe", b"1" * 10_000])
def test_record_that_is_none_is_as_good_as_no_record(tmp_path: Path, content: bytes) -> None:
    record = record_of(tmp_path)
    record.path.write_bytes(content)
    assert record.find() is None
    assert Records(tmp_path / "records").pids() == {}
    assert not record.note_ready(1, "")


def test_process_that_ended_and_was_not_waited_for_is_not_found(tmp_path: Path) -> None:
    """In a container the first process may inherit it."""
    record = record_of(tmp_path)
    hold = str(TOP / "bus" / "engines" / "hold.py")
    command = [sys.executable, "-I", "-S", hold, str(os.getpid()), str(record.path), "mark", "/bin/sleep", "60"]
    process = subprocess.Popen(command)
    wait_until(record.lives, "the record")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert record.find() is None
    process.wait()


def test_engine_whose_record_cannot_be_written_starts_all_the_same_and_ends_with_its_parent(tmp_path: Path) -> None:
    hold = str(TOP / "bus" / "engines" / "hold.py")
    inner = [sys.executable, "-I", "-S", hold, "{}", str(tmp_path / "missing" / "record"), "mark", "/bin/sleep", "60"]
    script = (
        "import os, subprocess, sys, time\n"
        f"child = subprocess.Popen([one.format(os.getpid()) for one in {inner!r}])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    wait_until(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", "the engine")
    parent.kill()
    assert b"it ends with its supervisor" in parent.communicate()[1]
    wait_until(lambda: not is_alive(pid), "its end")


def test_log_of_a_child_stays_bounded_and_loses_nothing_that_was_written_before(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "log", limit=1000)
    descriptor = log.open()
    for number in range(60):
        os.write(descriptor, b"%03d %s\n" % (number, b"x" * 95))
        log.cut()
    os.close(descriptor)
    kept = [tmp_path / name for name in ("log.3", "log.2", "log.1", "log")]
    lines = b"".join(path.read_bytes() for path in kept).splitlines()
    numbers = [int(line[:3]) for line in lines]
    assert numbers == list(range(numbers[0], 60))
    assert len(numbers) >= 30
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.3"]
    assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
