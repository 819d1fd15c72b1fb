"""A signing key that is recorded on a machine that stands still meanwhile gets a later start, and nothing else does."""

from collections.abc import Callable, Iterator

import pytest

from bus.registry.key_start import record_key
from bus.registry.keys import PUBLICATION_MS, SigningKeyAdded
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.registry import Registry
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, CIVIL, DAY, signing_key


def halting(clock: Clock, halts: Iterator[int]) -> Callable[[], int]:
    """Read the clock, then stand still for as long as the next of `halts` says."""

    def read() -> int:
        now = clock.now
        clock.now += next(halts, 0)
        return now

    return read


def recording(registry: Registry) -> Callable[[int], int]:
    def record(start_ms: int) -> int:
        key = signing_key(CIVIL, "civil-2", not_before=start_ms, not_after=start_ms + DAY)
        registry.record([key], ACT)
        return start_ms

    return record


def test_start_is_said_anew_until_the_registry_has_it_in_time(registry: Registry, clock: Clock) -> None:
    halts = iter((1_001, 60_000, 5_000, 1_001))
    start = record_key(recording(registry), halting(clock, halts))
    assert next(halts, None) is None, "the machine stood still, and the first starts were refused"
    assert clock.now + PUBLICATION_MS <= start
    added = [one.change for one in registry.history() if isinstance(one.change, SigningKeyAdded)]
    assert added[-1].not_before_ms == start, "what it returned is what was recorded"


def test_machine_that_never_moves_ends_in_the_refusal(registry: Registry, clock: Clock) -> None:
    before, tries = registry.state().position, iter([2_000] * 5)
    with pytest.raises(Refusal) as refused:
        record_key(recording(registry), halting(clock, tries))
    assert refused.value.reason is RefusalReason.TOO_SOON
    assert next(tries, None) is None
    assert registry.state().position == before


def test_other_refusal_is_not_asked_again(registry: Registry, clock: Clock) -> None:
    record, reads = recording(registry), iter([0, 0])
    record_key(record, halting(clock, reads))
    with pytest.raises(Refusal) as refused:
        record_key(record, halting(clock, reads))
    assert refused.value.reason is not RefusalReason.TOO_SOON
