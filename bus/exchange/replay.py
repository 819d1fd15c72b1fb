"""Which request ids this provider has seen, so that none is served twice (protocol.md 4, check 7).

An id is held for 90 s of monotonic time: longer than a request can be fresh (30 s on either side of now), whatever the
wall clock does. A full table refuses (OVERLOADED) rather than forgetting. One table per process, never per snapshot.
KNOWN: it starts empty. What came in the 60 s before a restart could be delivered again by a broker that replays; the
broker's own table, rebuilt from its journal, and idempotency in the service's transaction stand against that.
"""

from collections import deque
from typing import Final

from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused

__all__ = ["ReplayTable"]

HOLD_S: Final = 90.0
MAX_IDS: Final = 1_000_000


class ReplayTable:
    """(client, request id) pairs of the last 90 s."""

    def __init__(self, *, hold_s: float = HOLD_S, limit: int = MAX_IDS) -> None:
        self._hold_s = hold_s
        self._limit = limit
        self._seen: set[tuple[str, bytes]] = set()
        self._order: deque[tuple[float, tuple[str, bytes]]] = deque()

    def __len__(self) -> int:
        return len(self._seen)

    def verify_unseen(self, client: str, request_id: bytes, monotonic_s: float) -> None:
        """Remember the pair; RequestRefused(REPLAYED) if it was there, (OVERLOADED) if there is no room."""
        while self._order and self._order[0][0] <= monotonic_s:
            self._seen.discard(self._order.popleft()[1])
        pair = (client, request_id)
        if pair in self._seen:
            raise RequestRefused(Reason.REPLAYED)
        if len(self._seen) >= self._limit:
            raise RequestRefused(Reason.OVERLOADED)
        self._seen.add(pair)
        self._order.append((monotonic_s + self._hold_s, pair))
