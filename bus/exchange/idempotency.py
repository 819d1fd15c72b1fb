"""One effect for one idempotency key, however often it is asked for (protocol.md 6).

The contract of a store. A scope is (client, provider, method, key); it is kept for 24 h from its first request.
1. `begin` of a scope that is not there: it is there, running, and the caller serves the request.
2. Of one that runs: IDEMPOTENCY_RUNNING. Of one that ended with another body: IDEMPOTENCY_CONFLICT.
3. Of one that ended with the same body: the stored answer, which the caller signs anew for the new request.
4. `finish` stores the answer; `abandon` forgets a scope whose service gave no answer, so that it can be asked again.
5. No room: OVERLOADED, before the service is called; a kept scope is never forgotten to make room. Calls that are
   `repeatable`, whose contract says `idempotent`, take at most half of it and are then served without being stored: the
   SDK gives every call a key, and reads by the thousand must not stop what may happen only once.

What is compared is SHA-256 of the request's frames, without salt. Only successful answers are stored: an error is
served again, since it left no effect that its service would not recognise.
KNOWN: `MemoryStore` lives as long as the process. A retry that arrives after a restart is served as new; a service
whose effect must not happen twice then keeps `govbus_call().idempotency_key` in the transaction of the effect.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused

__all__ = ["IdempotencyStore", "MemoryStore", "Scope"]

KEEP_S: Final = 24 * 3600.0
MAX_ENTRIES: Final = 100_000
MAX_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Scope:
    """What an idempotency key is unique within, and the key."""

    client: str
    provider: str
    method: str
    key: str


class IdempotencyStore(Protocol):
    """See the module. Called on the event loop; an implementation that waits for a disk awaits it."""

    async def begin(
        self, scope: Scope, frames_digest: bytes, monotonic_s: float, *, repeatable: bool = False
    ) -> bytes | None:
        """The stored answer's message, or None: serve it now."""

    async def finish(self, scope: Scope, answer: bytes) -> None:
        """Store the answer of a scope that runs."""

    async def abandon(self, scope: Scope) -> None:
        """Forget a scope that runs."""


@dataclass(slots=True)
class _Entry:
    frames_digest: bytes
    until: float
    answer: bytes | None = None


class MemoryStore:
    """A bounded store in this process's memory."""

    def __init__(self, *, keep_s: float = KEEP_S, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._keep_s = keep_s
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Scope, _Entry] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def begin(
        self, scope: Scope, frames_digest: bytes, monotonic_s: float, *, repeatable: bool = False
    ) -> bytes | None:
        """See IdempotencyStore."""
        self._expire(monotonic_s)
        found = self._entries.get(scope)
        if found is None:
            share = 2 if repeatable else 1
            if len(self._entries) * share >= self._max_entries or self._bytes * share >= self._max_bytes:
                raise RequestRefused(Reason.OVERLOADED)
            self._entries[scope] = _Entry(frames_digest, monotonic_s + self._keep_s)
            return None
        if found.frames_digest != frames_digest:
            raise RequestRefused(Reason.IDEMPOTENCY_CONFLICT)
        if found.answer is None:
            raise RequestRefused(Reason.IDEMPOTENCY_RUNNING)
        return found.answer

    async def finish(self, scope: Scope, answer: bytes) -> None:
        """See IdempotencyStore."""
        entry = self._entries.get(scope)
        if entry is not None:
            entry.answer = answer
            self._bytes += len(answer)

    async def abandon(self, scope: Scope) -> None:
        """See IdempotencyStore."""
        entry = self._entries.get(scope)
        if entry is not None and entry.answer is None:
            del self._entries[scope]

    def _expire(self, monotonic_s: float) -> None:
        """Entries stand in the order of their ends. One that still runs is not dropped before it ended."""
        while self._entries:
            scope, entry = next(iter(self._entries.items()))
            if entry.until > monotonic_s or entry.answer is None:
                return
            self._bytes -= len(entry.answer)
            del self._entries[scope]
