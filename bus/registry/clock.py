"""The time at which the registry records, and the way back from a log that was written while the clock was ahead.

1. Nothing is recorded while wall clock and boot clock disagree by more than 2 s about how long it is since the start:
   one of them was set. It is the gate's rule (protocol.md 4, check 4), and it ends when they agree again.
2. A clock that is wrong from the start on is not seen so. Behind the log by more than 30 s, nothing is recorded either
   (bus.registry.fold). Ahead, it is believed, and when it was set right, the log's last event lies in the future.
3. Then an operator says so, once, and what follows is recorded by the clock that is right (decision 0017). Positions
   and hashes go on without a gap; only here the time of an event is earlier than that of the one before it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from bus.registry.change import Change
from bus.registry.draft import Draft
from bus.registry.refusal import Refusal, RefusalReason

__all__ = ["SKEW_MS", "STEP_MS", "ClockSetBack", "SteadyClock"]

SKEW_MS: Final = 30_000
"""Clocks of machines that record in turn may differ by this."""
STEP_MS: Final = 2_000
"""A wall clock that left the boot clock by more was set."""


class SteadyClock:
    """A wall clock in milliseconds that refuses once it was set (rule 1); for use by several threads."""

    def __init__(self, wall_ms: Callable[[], int], boot_ms: Callable[[], int], offset_ms: int | None = None) -> None:
        """`boot_ms` goes on while the machine sleeps and is never set. Both are read now, unless `offset_ms` says by
        how much they differed at the start: another process's on this machine."""
        self._wall_ms, self._boot_ms = wall_ms, boot_ms
        self.offset_ms = wall_ms() - boot_ms() if offset_ms is None else offset_ms

    def __call__(self) -> int:
        """Now; Refusal(CLOCK_STEPPED)."""
        now_ms = self._wall_ms()
        step_ms = now_ms - self._boot_ms() - self.offset_ms
        if abs(step_ms) > STEP_MS:
            way = "forward" if step_ms > 0 else "back"
            raise Refusal(
                RefusalReason.CLOCK_STEPPED,
                f"this machine's clock was set {way} by {abs(step_ms) / 1000:.0f} s since the start, so nothing is"
                " recorded; set it right, and if it is right now: govbus down, govbus up",
            )
        return now_ms


@dataclass(frozen=True, slots=True)
class ClockSetBack(Change):
    """The clock was ahead and is right again: this event is earlier than the one before it, and later ones follow it.

    Signing keys that were revoked at a time that has not come are revoked from now on.
    """

    kind: ClassVar[str] = "clock.set-back"

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.founded()
        if at_ms >= draft.time_ms - SKEW_MS:
            raise Refusal(RefusalReason.NO_CHANGE, "the registry's last event does not lie in the future")

    def apply(self, draft: Draft, at_ms: int) -> None:
        for key_id, key in tuple(draft.keys.items()):
            if key.revoked_ms is not None and key.revoked_ms > at_ms:
                draft.keys.put(key_id, replace(key, revoked_ms=at_ms))
