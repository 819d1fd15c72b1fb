"""Whether a failed call may be asked again, and how soon (protocol.md 6).

A retry is a new request: new id, new signature, another broker where there is one, the same idempotency key.
1. The provider was not called and the code is UNAVAILABLE: any method.
2. The provider may have been called, or its answer could not be recorded: only methods whose contract says that they
   are idempotent, and they always bear an idempotency key.
3. Everything else is an answer: asking again would bring the same, or harm.
4. An attempt that reached no broker was never sent and costs nobody anything: it is repeated until the caller stops
   waiting, so a broker's restart fails no call. Of attempts that were sent there are few.
"""

from typing import Final

import grpc
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_before_delay, wait_random_exponential
from tenacity.stop import stop_base

from bus.exchange.errors import CallError, ProviderError, RefusedLocally
from bus.exchange.meanings import Called
from bus.exchange.reasons import Reason

__all__ = ["may_retry", "retrying"]

# The first attempt is not counted here, nor what reached no broker.
MAX_RETRIES: Final = 4


def may_retry(error: BaseException, *, idempotent: bool) -> bool:
    """Rules 1-3."""
    if not isinstance(error, CallError) or error.reason is None:
        return False
    if isinstance(error, RefusedLocally) and not _unsent(error):
        return False  # this side will say the same again
    if error.code() is grpc.StatusCode.UNAVAILABLE and error.provider_called is Called.NO:
        return True
    if error.reason in (Reason.DEADLINE, Reason.STREAM_NOT_SEALED):
        return False
    unknown = error.provider_called is Called.MAYBE or error.reason is Reason.OUTCOME_UNRECORDED
    # A signed refusal of the provider's runtime (IDEMPOTENCY_RUNNING) is as good a cause as the bus's.
    return idempotent and unknown and (not isinstance(error, ProviderError) or error.reason is _RUNNING)


def retrying(*, idempotent: bool, left_s: float) -> AsyncRetrying:
    """The attempts after the first, with growing random pauses."""
    return AsyncRetrying(
        stop=_AfterSent() | stop_before_delay(left_s),
        wait=wait_random_exponential(multiplier=0.05, max=1.0),
        retry=retry_if_exception(lambda error: may_retry(error, idempotent=idempotent)),
        reraise=True,
    )


def _unsent(error: BaseException | None) -> bool:
    return isinstance(error, RefusedLocally) and error.reason is Reason.BROKER_UNREACHABLE


class _AfterSent(stop_base):
    """Stops after MAX_RETRIES attempts that were sent (4)."""

    def __init__(self) -> None:
        self._sent = 0

    def __call__(self, retry_state: RetryCallState) -> bool:
        if retry_state.outcome is not None and not _unsent(retry_state.outcome.exception()):
            self._sent += 1
        return self._sent >= MAX_RETRIES


_RUNNING: Final = Reason.IDEMPOTENCY_RUNNING
