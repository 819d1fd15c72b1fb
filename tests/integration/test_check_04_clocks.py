"""Check 4, the broker's own part: a clock that steps, a journal ahead of the clock, a policy grown too old.

The clock is stepped by a library put before libc in the gate's process; nothing in the gate knows of it.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.engines.broker import Broker
from bus.exchange.reasons import Reason
from tests.support.gate_world import World, eventually, running_world, verify_refusal
from tests.support.stepped_clock import SteppedClock


class SteppedBroker(Broker):
    """Its Envoy's wall clock can be stepped."""

    def __init__(self, directory: Path) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="govbus-clock-")
        self.clock = SteppedClock(Path(self._folder.name))
        super().__init__(directory)

    def _environment(self) -> dict[str, str]:
        return super()._environment() | self.clock.environment

    def stop(self) -> None:
        super().stop()
        self._folder.cleanup()


@pytest.fixture(scope="module")
def stepped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("stepped") / "a state", make_broker=SteppedBroker) as world:
        yield world
        world.settle()


def step(world: World, seconds: int) -> None:
    assert isinstance(world.broker, SteppedBroker)
    world.broker.clock.step(seconds)


@pytest.mark.parametrize("seconds", [-3600, -4, 4, 3600])
def test_clock_that_stepped_is_not_trusted_until_it_steps_back(stepped: World, seconds: int) -> None:
    stepped.answers(stepped.request())
    step(stepped, seconds)
    stepped.refuses(stepped.request(), Reason.CLOCK_UNTRUSTED)
    step(stepped, 0)
    stepped.answers(stepped.request())


def test_clock_behind_the_journal_is_not_trusted_after_a_restart_either(stepped: World) -> None:
    stepped.answers(stepped.request())
    step(stepped, -20)
    stepped.kill()
    now = time.time_ns() // 1_000_000 - 20_000
    request = stepped.request(issued_at_ms=now, not_after_ms=now + 10_000)
    stepped.refuses(request, Reason.CLOCK_UNTRUSTED)
    step(stepped, 0)
    stepped.kill()
    stepped.answers(stepped.request())


def test_policy_too_old_refuses_until_the_next_one(tmp_path: Path) -> None:
    with running_world(tmp_path / "a state", alarm_after="1s", refuse_after="5s") as world:
        world.answers(world.request())
        eventually(lambda: world.send(world.request()).code != 0)
        verify_refusal(world.send(world.request()), Reason.POLICY_STALE, {})
        touched = world.provider.calls
        world.refuses(world.request(), Reason.POLICY_STALE)
        assert world.provider.calls == touched
        world.publish()
        world.answers(world.request())
        world.settle()
