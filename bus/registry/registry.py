"""The registry: changes in, states out. It keeps the newest state in memory and the log in PostgreSQL.

Any number of processes may hold one registry: each change is decided under the log's lock, after folding in what others
appended. A state is a value: whoever got one keeps it unchanged.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from bus.registry.change import Change, KeyClaim
from bus.registry.checkpoint import load_checkpoint, store_checkpoint
from bus.registry.draft import Written
from bus.registry.event import Event, LogBroken, StoredEvent, parse_events
from bus.registry.fold import EMPTY, Act, Proposal, fold, fold_noting, propose
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.state import RegistryState
from bus.registry.store import EventStore

if TYPE_CHECKING:
    from bus.registry.contract_door import ContractDoor, Judged

__all__ = ["Registry"]

_END = 2**63 - 1
_JUDGEMENTS = 5
"""How often contracts are judged, each time because others changed meanwhile."""


class Registry:
    """For use by several threads."""

    def __init__(self, store: EventStore, clock_ms: Callable[[], int], checkpoint: Path | None = None) -> None:
        """Nothing is read before it is asked for. `checkpoint`: a file to begin with (bus.registry.checkpoint)."""
        self._store = store
        self._checkpoint, self._checkpoint_position = checkpoint, 0
        self._clock_ms = clock_ms
        self._lock = threading.Lock()
        self._newest = EMPTY

    def record(
        self, changes: Sequence[Change], act: Act, files: Mapping[bytes, bytes] | None = None
    ) -> tuple[Event, ...]:
        """Record all of `changes` in one transaction, or none; on the disk when this returns.

        Refusal says which rule they break; DatabaseUnavailable, that nothing was recorded (its ConnectionLost: that it
        is not known). `files` holds by digest what the changes name.
        """
        attached = _attached(changes, files or {})
        newest = self._newest if self._newest.position else self.state()  # a whole log is not read under its lock
        for _ in range(_JUDGEMENTS):
            judged = self._judged(newest, changes, attached)
            with self._store.appending() as log:
                newest = _follow(newest, log.events(_anchor(newest)))
                if judged is not None and not judged.holds(newest):
                    continue
                proposal = propose(newest, changes, act, self._clock_ms())
                log.append(proposal.stored, _claims(proposal), attached)
            self._keep(proposal.after)
            return proposal.events
        raise Refusal(RefusalReason.CONTRACT_UNCOMPARED, "others register contracts all the time; try again")

    @property
    def newest(self) -> RegistryState:
        """The newest state that this process has read; the database is not asked."""
        return self._newest

    def state(self) -> RegistryState:
        """The newest state, others' changes included; LogBroken if what was appended does not fit."""
        newest = self._newest if self._newest.position else self._resumed()
        newest = fold(self._parse(newest, _END), newest)
        self._keep(newest)
        return newest

    def state_since(self, start: RegistryState) -> tuple[RegistryState, Written]:
        """The newest state, and which of its entries may be others than in `start`, a state of this log."""
        found = fold_noting(self._parse(start, _END), start)
        self._keep(found[0])
        return found

    def store_checkpoint(self, after: int = 1) -> None:
        """Write the newest state to the checkpoint's file if `after` events or more came since it was; OSError."""
        newest = self._newest
        if self._checkpoint is not None and newest.position >= self._checkpoint_position + after:
            store_checkpoint(self._checkpoint, newest)
            self._checkpoint_position = newest.position

    def state_at(self, position: int) -> RegistryState:
        """The state right after `position`; ValueError for one that is not there yet."""
        newest = self._newest
        if position == newest.position:
            return newest
        start = newest if newest.position < position else EMPTY
        state = fold(self._parse(start, position), start)
        if state.position != position:
            raise ValueError(
                f"the registry's log ends at position {state.position}; ask for that one or an earlier one"
            )
        return state

    def head_at(self, position: int) -> bytes | None:
        """The log's hash at `position`, as it is stored; None where there is no event."""
        return self._store.hash_at(position)

    def state_at_time(self, time_ms: int) -> RegistryState:
        """The state as it was at `time_ms`: after the last event that is not later."""
        return self.state_at(self._store.position_at(time_ms))

    def history(self, after: int = 0, until: int = _END) -> Iterator[Event]:
        """Events with after < position <= until: what happened, who did it and why, the chain checked on the way."""
        return self._parse(self._place(after) if after else EMPTY, until)

    def attachment(self, digest: bytes) -> bytes:
        """A file that a change names; KeyError if there is none."""
        return self._store.attachment(digest)

    def positions(self, seconds: float = 5.0) -> Iterator[int]:
        """The last position now and whenever it moves, at least every `seconds`; ends with DatabaseUnavailable."""
        return self._store.positions(seconds)

    def _judged(self, state: RegistryState, changes: Sequence[Change], files: Mapping[bytes, bytes]) -> "Judged | None":
        """By which contracts those of `changes` were judged; None where there are none. Refusal."""
        return self.contracts.judge(state, changes, files) if files else None

    @cached_property
    def contracts(self) -> "ContractDoor":
        """What judges contracts by those that are registered."""
        from bus.registry.contract_door import ContractDoor  # protobuf, which few changes need

        return ContractDoor(self.attachment)

    def _place(self, position: int) -> RegistryState:
        """Where to read on, and nothing of what holds there: a page of a long log costs the page. As state_at."""
        for event in self._store.events(position - 1, position):
            return RegistryState(position=position, time_ms=event.time_ms, head=event.hash)
        raise ValueError("the registry's log has no such position; ask for one that it has")

    def _parse(self, start: RegistryState, until: int) -> Iterator[Event]:
        return _parse(start, self._store.events(_anchor(start), max(until, start.position)))

    def _resumed(self) -> RegistryState:
        """What the first read of the log begins with."""
        found = None if self._checkpoint is None else load_checkpoint(self._checkpoint)
        if found is None or self._store.hash_at(found.position) != found.head:
            return EMPTY
        self._checkpoint_position = found.position
        return found

    def _keep(self, state: RegistryState) -> None:
        with self._lock:
            if state.position > self._newest.position:
                self._newest = state


def _follow(state: RegistryState, stored: Sequence[StoredEvent]) -> RegistryState:
    return fold(_parse(state, stored), state)


def _anchor(state: RegistryState) -> int:
    """Behind which position to read on from `state`: its own event is read again, see _parse."""
    return max(state.position - 1, 0)


def _parse(start: RegistryState, stored: Iterable[StoredEvent]) -> Iterator[Event]:
    """What follows `start`. Its own event stands first: where another or none does, the log was set back."""
    rows = iter(stored)
    if start.position:
        own = next(rows, None)
        if own is None or (own.position, own.hash) != (start.position, start.head):
            raise LogBroken(start.position, "it is not the event that was read there before")
    yield from parse_events(rows, position=start.position, head=start.head, time_ms=start.time_ms)


def _claims(proposal: Proposal) -> dict[int, tuple[KeyClaim, ...]]:
    return {event.position: claims for event in proposal.events if (claims := event.change.claims())}


def _attached(changes: Sequence[Change], files: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    named = {digest for change in changes for digest in change.attachments()}
    if named != files.keys() or any(sha256(content).digest() != digest for digest, content in files.items()):
        raise Refusal(RefusalReason.ATTACHMENT, "give exactly the files that the changes name, each by its own SHA-256")
    return dict(files)
