"""When a signing key starts that is recorded now: 11 s from now on, said anew where the machine stood still meanwhile.

The registry refuses a key that starts sooner than 10 s after its event, by its clock at the event. Between choosing the
start and that clock lie a transaction's wait and whatever halts a process; the margin is a second. What took longer is
no mistake of whoever asks, who could do nothing but ask again: so it is done here, a few times.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from bus.registry.keys import PUBLICATION_MS
from bus.registry.refusal import Refusal, RefusalReason

__all__ = ["record_key"]

T = TypeVar("T")
_MARGIN_MS: Final = 1_000
_TRIES: Final = 5


def record_key(record: Callable[[int], T], clock_ms: Callable[[], int]) -> T:
    """What `record(start_ms)` returns, which records a key that starts then; it is called again after TOO_SOON.

    Refusal: every other one, and the last TOO_SOON.
    """
    for left in reversed(range(_TRIES)):
        try:
            return record(clock_ms() + PUBLICATION_MS + _MARGIN_MS)
        except Refusal as refusal:
            if refusal.reason is not RefusalReason.TOO_SOON or not left:
                raise
    raise AssertionError("the last try returns or raises")
