"""A member of the nation is killed while calls run: whoever does not need it notices nothing, and it comes back."""

import asyncio
import os
import signal
import time
from typing import Any, Final

from bus.demo.families import Sample
from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.demo.story import Story, register_quietly
from bus.demo.traffic import Traffic
from bus.demo.world import World
from bus.nation.members import POPULATION

__all__ = ["kill_member"]

_CAP_S: Final = 60.0
_LOOK_S: Final = 0.05


async def kill_member(
    world: World, sample: Sample, story: Story, report: Report, screen: Screen, asking: Traffic
) -> None:
    """The population register: without it nobody is born, by the books."""
    before, began, killed = asking.counted.copy(), time.monotonic(), _member(world)
    os.kill(killed["pid"], signal.SIGKILL)
    with screen.working("the population register is killed"):
        back = await asyncio.to_thread(_await_back, world, killed["pid"])
    milliseconds = round((time.monotonic() - began) * 1000)
    report.measured("member-gone", milliseconds)
    found = "another process, same place" if back.get("serves") == killed["serves"] else "gone"
    text = f"the population register is killed; it serves again by itself after {milliseconds / 1000:.1f} s"
    screen.claim(report.claim("member-back", text, "another process, same place", found))
    calls = (asking.counted - before).total()
    text = f"all {calls} calls of the portal to units meanwhile were answered"
    screen.claim(report.claim("member-unnoticed", text, {}, asking.failed(before)))
    told = await register_quietly(world, sample, sample.after_a_kill, story)
    text = "and the next birth is registered, parents and newborn's number by population"
    screen.claim(report.claim("born-after", text, True, told.result is not None))


def _member(world: World) -> dict[str, Any]:
    found: dict[str, Any] = world.told("nation")["members"][POPULATION]
    return found


def _await_back(world: World, killed: int) -> dict[str, Any]:
    """What is told of it once another process of it serves; of the killed one, or of none, after 60 s."""
    until = time.monotonic() + _CAP_S
    while time.monotonic() < until:
        found = _member(world)
        if found.get("pid") not in (None, killed) and found.get("serves"):
            return found
        time.sleep(_LOOK_S)
    return {}
