"""A broker restarted again and again under load: clients ask again (protocol.md 6), nothing fails or happens twice."""

import os
import random
import signal
from pathlib import Path

import pytest

from tests.integration.live import Live, running_live
from tests.support.live import wait_until
from tests.support.live_judge import judge_journal

SEED = 20261122


def test_broker_restarted_under_load_fails_no_idempotent_call_and_doubles_none(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    restarts_under_load(live, [signal.SIGKILL, signal.SIGTERM, None], capsys)


@pytest.mark.soak
def test_broker_restarted_twenty_times_fails_no_idempotent_call_and_doubles_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = random.Random(SEED)
    with running_live(tmp_path) as live:
        restarts_under_load(live, [*source.choices([signal.SIGTERM, signal.SIGKILL, None], k=19), None], capsys)


def restarts_under_load(live: Live, how: list[signal.Signals | None], capsys: pytest.CaptureFixture[str]) -> None:
    """The last one is in order: it settles what the others left open."""
    source = random.Random(SEED)
    with live.load(workers=6) as load:
        for number in how[:-1]:
            load.goes_on(source.randint(20, 60))
            restart(live, number)
        load.goes_on(50)
        load.stop()
        restart(live, how[-1])
        with capsys.disabled():
            print(f"\n{len(how)} restarts: {load.said()}, {judge_journal(live.layout, load)} intents in the journal")
    assert load.failed == []
    load.judge_effects(live.provider)


def restart(live: Live, number: signal.Signals | None) -> None:
    """Its process is ended by a signal and comes back by itself; None: all of it is ended in order and started anew."""
    broker = live.broker.broker
    assert broker is not None
    if number is None:
        live.broker.stop()
        live.broker.begin()
        live.broker.wait(print)
    else:
        supervisor, pid = broker.envoy.supervisor, broker.envoy.supervisor.pid
        assert pid is not None
        os.kill(pid, number)
        wait_until(lambda: supervisor.ready and supervisor.pid != pid)
