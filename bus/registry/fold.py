"""Events -> state, and requested changes -> events. Pure: the same log gives the same state, at any position, any time.

`propose` is the only place where the rules are asked; `fold` never refuses.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from bus.registry.change import Change
from bus.registry.clock import SKEW_MS, ClockSetBack
from bus.registry.draft import Draft, Written
from bus.registry.event import Event, LogBroken, StoredEvent, store_event
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.shapes import verify_operator, verify_reason
from bus.registry.state import RegistryState

__all__ = ["EMPTY", "Act", "Proposal", "fold", "fold_noting", "propose"]

EMPTY = RegistryState()
"""Before the first event."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who does something, and why. The operator is an account id, never a person's name."""

    operator: str
    reason: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """Events that may be appended to the log that `before` is a state of, and the state that they lead to."""

    before: RegistryState
    events: tuple[Event, ...]
    stored: tuple[StoredEvent, ...]
    after: RegistryState


def fold(events: Iterable[Event], start: RegistryState = EMPTY) -> RegistryState:
    """The state after `events`, which follow `start` without a gap; LogBroken if they do not fit it."""
    return fold_noting(events, start)[0]


def fold_noting(events: Iterable[Event], start: RegistryState) -> tuple[RegistryState, Written]:
    """As fold; and which entries may be others than in `start`."""
    draft = Draft(start)
    for event in events:
        try:
            _apply(draft, event)
        except (KeyError, ValueError) as error:  # whoever writes rows can chain them, too
            raise LogBroken(event.position, "it changes what is not there") from error
    return draft.done(), draft.written()


def propose(state: RegistryState, changes: Sequence[Change], act: Act, at_ms: int) -> Proposal:
    """Events for all of `changes`, each verified after those before it, or Refusal and nothing.

    A clock up to 30 s behind the last event is taken to stand at that event; further behind, CLOCK_BEHIND, unless the
    first of `changes` says that it was ahead before.
    """
    verify_operator(act.operator)
    verify_reason(act.reason)
    if not changes:
        raise Refusal(RefusalReason.NO_CHANGE, "there is nothing to record")
    if not isinstance(changes[0], ClockSetBack):
        at_ms = _not_before(state.time_ms, at_ms)
    draft = Draft(state)
    events: list[Event] = []
    stored: list[StoredEvent] = []
    for change in changes:
        change.verify(draft, at_ms)
        unchained = Event(draft.position + 1, at_ms, act.operator, act.reason, change, b"")
        stored.append(store_event(unchained, draft.head))
        events.append(replace(unchained, hash=stored[-1].hash))
        _apply(draft, events[-1])
    return Proposal(state, tuple(events), tuple(stored), draft.done())


def _not_before(last_ms: int, at_ms: int) -> int:
    if at_ms < last_ms - SKEW_MS:
        raise Refusal(
            RefusalReason.CLOCK_BEHIND,
            f"this machine's clock is {(last_ms - at_ms) // 1000} s behind the registry's last event; correct it, or if"
            " it is right and was ahead before: govbus down, govbus up --clock-was-ahead",
        )
    return max(at_ms, last_ms)


def _apply(draft: Draft, event: Event) -> None:
    event.change.apply(draft, event.time_ms)
    draft.position, draft.time_ms, draft.head = event.position, event.time_ms, event.hash
