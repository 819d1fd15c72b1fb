"""This machine's clocks, and what the registry makes of them (bus.registry.clock): for whoever records, and who tells.

All processes of an instance go by the same start, the supervisor's: boot time is one for the machine, so a command that
begins after the clock was set sees the step too.
"""

import time
from typing import Any

from bus.registry.clock import SKEW_MS, STEP_MS, SteadyClock
from bus.up.control import ask_supervisor
from bus.up.layout import Layout

__all__ = ["boot_ms", "clock_fault", "instance_clock", "now_ms"]

_RESTART = "set the time right (timedatectl); if it is right now: govbus down, govbus up"


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


def boot_ms() -> int:
    """Since the machine's start, its sleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def instance_clock(layout: Layout) -> SteadyClock:
    """The clock by which a process beside the supervisor records."""
    told = ask_supervisor(layout) or {}
    return SteadyClock(now_ms, boot_ms, told.get("clock_offset_ms"))


def clock_fault(told: dict[str, Any], last_event_ms: int | None) -> tuple[str, str] | None:
    """What keeps the registry from recording and what to do, by what the supervisor tells; None if nothing does."""
    wall_ms, offset_ms = now_ms(), told.get("clock_offset_ms")
    if offset_ms is not None and abs(step_ms := wall_ms - boot_ms() - offset_ms) > STEP_MS:
        way = "forward" if step_ms > 0 else "back"
        return f"the clock was set {way} by {abs(step_ms) // 1000} s since the supervisor's start", _RESTART
    if last_event_ms is not None and wall_ms < last_event_ms - SKEW_MS:
        text = f"the registry's last event lies {(last_event_ms - wall_ms) // 1000} s in the future"
        return text, "set the time right; if it is, the clock was ahead: govbus down, govbus up --clock-was-ahead"
    return None
