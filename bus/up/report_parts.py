"""What a report of an instance is made of: states, parts, and what was gathered before anything is judged."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from bus.up.layout import Facts, Layout
from native.headers import SnapshotHeader

__all__ = ["ALONE", "ENDING", "Found", "Part", "State", "iso", "time_text"]


ALONE: Final = "it goes on, and nobody looks after it until the supervisor is back"
"""What is said of an engine without a supervisor."""

ENDING: Final = "stopping"
"""The supervisor's phase while it ends everything; it is `starting` and `running` before."""


class State(StrEnum):
    """How a part is."""

    UP = "up"
    STARTING = "starting"
    STALE = "stale"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the report; times are ISO 8601, UTC."""

    part: str
    state: State
    since: str | None
    facts: dict[str, Any]
    next: str


@dataclass(slots=True)
class Found:
    """What `bus.up.report.look` gathered."""

    layout: Layout
    facts: Facts
    now_ms: int
    pid: int | None
    left: dict[str, int] = field(default_factory=dict)
    """What serves with or without a supervisor (bus.engines.records): name and process."""
    told: dict[str, Any] = field(default_factory=dict)
    """By the supervisor; empty when none answers."""
    ledger: dict[str, Any] | None = None
    """By the ledger's process."""
    head: tuple[int, int] | None = None
    """Position and time of the registry's last event; None while it cannot be asked."""
    header: SnapshotHeader | None = None
    """Of the newest published policy."""

    @property
    def ages(self) -> tuple[str | None, str | None]:
        """From when on the policy's age is told, and from when on calls are refused."""
        one = self.header
        if one is None:
            return None, None
        return iso(one.created_at_ms + one.alarm_after_ms), iso(one.created_at_ms + one.refuse_after_ms)


def iso(time_ms: int | None) -> str | None:
    """`2026-11-21T23:59:59Z`, None for no time."""
    return time_text(datetime.fromtimestamp(time_ms / 1000, UTC)) if time_ms else None


def time_text(moment: datetime) -> str:
    """`2026-11-21T23:59:59Z`."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
