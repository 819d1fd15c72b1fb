"""A clock that is set: nothing is recorded by it, and what was recorded while it was ahead blocks nobody for ever."""

from dataclasses import dataclass

import pytest

from bus.registry.clock import ClockSetBack, SteadyClock
from bus.registry.event import Event, LogBroken, parse_events, store_event
from bus.registry.fold import fold
from bus.registry.keys import SigningKeyRevoked
from bus.registry.refusal import Refusal
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, CIVIL, DAY, NOW, Log, certificate, key_id, nation

AHEAD = NOW + 400 * DAY


@dataclass
class Machine:
    wall: int = NOW
    boot: int = 5_000_000

    def passes(self, ms: int) -> None:
        self.wall += ms
        self.boot += ms


@pytest.mark.parametrize("step_ms", [400 * DAY, 2_001, -2_001, -3_600_000])
def test_nothing_is_recorded_by_a_clock_that_was_set(store: EventStore, step_ms: int) -> None:
    machine = Machine()
    registry = Registry(store, SteadyClock(lambda: machine.wall, lambda: machine.boot))
    registry.record(nation()[:1], ACT)
    machine.passes(DAY)
    machine.wall += step_ms
    with pytest.raises(Refusal, match="govbus down, govbus up") as refusal:
        registry.record(nation()[1:2], ACT)
    assert refusal.value.reason == "clock-stepped"
    assert registry.state().position == 1
    machine.wall -= step_ms
    registry.record(nation()[1:2], ACT)  # right again, and nothing was lost


def test_a_clock_that_is_slewed_records_on(store: EventStore) -> None:
    machine = Machine()
    clock = SteadyClock(lambda: machine.wall, lambda: machine.boot)
    machine.passes(30 * DAY)
    machine.wall += 2_000
    assert clock() == machine.wall


def test_a_process_that_begins_after_the_step_goes_by_the_instances_start() -> None:
    machine = Machine()
    offset = SteadyClock(lambda: machine.wall, lambda: machine.boot).offset_ms
    machine.wall += DAY
    with pytest.raises(Refusal):
        SteadyClock(lambda: machine.wall, lambda: machine.boot, offset)()


def test_a_log_from_the_future_is_gone_on_with_when_the_operator_says_so(registry: Registry, clock: Clock) -> None:
    clock.now = AHEAD
    registry.record([SubsystemSuspended(CIVIL)], ACT)
    clock.now = NOW + DAY
    with pytest.raises(Refusal, match="--clock-was-ahead") as refusal:
        registry.record([SubsystemResumed(CIVIL)], ACT)
    assert refusal.value.reason == "clock-behind"
    registry.record([ClockSetBack()], ACT)
    clock.now += 1
    registry.record([SubsystemResumed(CIVIL), certificate(CIVIL, "new", not_before=clock.now)], ACT)
    assert registry.state().time_ms == clock.now
    assert registry.state() == Registry(registry._store, clock).state(), "the log reads otherwise than it was written"


def test_reads_by_time_stay_defined_over_a_clock_that_was_set_back(registry: Registry, clock: Clock) -> None:
    """The state at a time is that after the last event that is not later, whatever stands before it."""
    before = registry.state().position
    clock.now = AHEAD
    registry.record([SubsystemSuspended(CIVIL)], ACT)
    clock.now = NOW + DAY
    registry.record([ClockSetBack()], ACT)
    clock.now = NOW + 2 * DAY
    registry.record([SubsystemResumed(CIVIL)], ACT)
    moments = (NOW + DAY - 1, NOW + DAY, NOW + 2 * DAY - 1, NOW + 2 * DAY, AHEAD)
    assert [registry.state_at_time(one).position - before for one in moments] == [0, 2, 2, 3, 3]


def test_clock_is_not_set_back_without_need() -> None:
    log = Log(nation())
    assert log.refusal(ClockSetBack(), at_ms=NOW + DAY) == "no-change"
    assert log.refusal(ClockSetBack(), at_ms=NOW - 30_000) == "no-change"
    log.record(SubsystemSuspended(CIVIL), at_ms=AHEAD)
    assert log.refusal(SubsystemResumed(CIVIL), ClockSetBack(), at_ms=NOW + DAY) == "clock-behind"


def test_key_revoked_in_the_future_is_revoked_from_the_correction_on() -> None:
    log = Log(nation())
    log.record(SigningKeyRevoked(key_id("civil")), at_ms=AHEAD)
    log.record(ClockSetBack(), at_ms=NOW + DAY)
    assert log.state.keys[key_id("civil")].revoked_ms == NOW + DAY
    assert fold(log.events) == log.state


def test_only_a_correction_is_older_than_the_event_before_it() -> None:
    log = Log(nation())
    log.record(SubsystemSuspended(CIVIL), at_ms=AHEAD)
    event = Event(log.state.position + 1, NOW, "ops", "why", SubsystemResumed(CIVIL), b"")
    stored = store_event(event, log.state.head)
    with pytest.raises(LogBroken, match="older than the event before it"):
        list(parse_events([stored], position=log.state.position, head=log.state.head, time_ms=AHEAD))
