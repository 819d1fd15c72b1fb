"""When a recorded change is in force: published to every reader, and handed over to every broker's gate.

KNOWN: the gate takes a newer snapshot in on a thread of its own, some milliseconds after Envoy has handed it over, and
tells nobody but its journal. Should it refuse one, which the broker's supervisor verified before, its log says so.
"""

import time
from dataclasses import dataclass

from bus.up.control import ask_supervisor
from bus.up.layout import Layout

__all__ = ["InForce", "wait_in_force"]

_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class InForce:
    """The policy version that holds the change, and how long that took."""

    version: int
    seconds: float


def wait_in_force(layout: Layout, position: int, seconds: float = 15.0) -> InForce | None:
    """Wait until everybody judges by log position `position` or a later one; None after `seconds`."""
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        told = ask_supervisor(layout) or {}
        published, brokers = told.get("publisher") or {}, told.get("brokers") or {"": {}}
        version = int(published.get("version", 0))
        given = min(one.get("in_force", 0) for one in brokers.values())
        if published.get("log_position", 0) >= position and given >= version:
            return InForce(version, passed)
        time.sleep(_LOOK_SECONDS)
    return None
