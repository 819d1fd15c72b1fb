"""Whether a failed call may be asked again, and how soon (protocol.md 6).

A retry is a new request: new id, new signature, another broker where there is one, the same idempotency key.
1. The provider was not called and the code is UNAVAILABLE: any method.
2. The provider may have been called, or its answer could not be recorded: only methods whose contract says that they
   are idempotent, and they always bear an idempotency key.
3. A rate is used up and the refusal says for how long: idempotent methods, not sooner, and only if the caller still
   waits then. A day's quota and a budget are not waited for.
4. Everything else is an answer: asking again would bring the same, or harm.

Before all of it stands `reaching`: what reached no broker was never sent and costs nobody anything, so it is tried
until the caller stops waiting, whatever the method. A broker's restart fails no call.
"""

import random
from typing import Final

import grpc
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_base, wait_random_exponential

from bus.exchange.errors import CallError, ProviderError, RefusedLocally
from bus.exchange.exceptions import BrokerUnreachable, RateLimited
from bus.exchange.meanings import Called
from bus.exchange.reasons import Reason

__all__ = ["may_retry", "pause_after", "reaching", "retrying"]

# The first attempt is not counted here.
MAX_RETRIES: Final = 4
_SPREAD_S: Final = 0.1
_RUNNING: Final = Reason.IDEMPOTENCY_RUNNING


def may_retry(error: BaseException, *, idempotent: bool, left_s: float) -> bool:
    """Rules 1-4, for a caller that waits `left_s` seconds more."""
    if not isinstance(error, CallError) or error.reason is None or left_s <= 0:
        return False
    if isinstance(error, RefusedLocally):
        return False  # this side will say the same again
    if isinstance(error, RateLimited):
        pause = error.retry_after
        return idempotent and pause is not None and pause + _SPREAD_S < left_s and not isinstance(error, ProviderError)
    if error.code() is grpc.StatusCode.UNAVAILABLE and error.provider_called is Called.NO:
        return True
    if error.reason in (Reason.DEADLINE, Reason.STREAM_NOT_SEALED):
        return False
    unknown = error.provider_called is Called.MAYBE or error.reason is Reason.OUTCOME_UNRECORDED
    # A signed refusal of the provider's runtime (IDEMPOTENCY_RUNNING) is as good a cause as the bus's.
    return idempotent and unknown and (not isinstance(error, ProviderError) or error.reason is _RUNNING)


def pause_after(error: BaseException | None) -> float:
    """Seconds that must pass before the next attempt, spread so that not all come back at once (3)."""
    said = error.retry_after if isinstance(error, RateLimited) else None
    return said + random.uniform(0, _SPREAD_S) if said is not None else 0.0  # noqa: S311 - no secret


def retrying(*, idempotent: bool, left_s: float) -> AsyncRetrying:
    """The attempts after the first, with growing random pauses, or those that were asked for."""
    return AsyncRetrying(
        stop=stop_after_attempt(MAX_RETRIES) | stop_before_delay(left_s),
        wait=_Pause(),
        retry=retry_if_exception(lambda error: may_retry(error, idempotent=idempotent, left_s=left_s)),
        reraise=True,
    )


def reaching(left_s: float) -> AsyncRetrying:
    """Attempts to reach a broker, as long as the caller waits; BrokerUnreachable from the last one."""
    return AsyncRetrying(
        stop=stop_before_delay(left_s),
        wait=wait_random_exponential(multiplier=0.05, max=0.25),
        retry=retry_if_exception(lambda error: isinstance(error, BrokerUnreachable)),
        reraise=True,
    )


class _Pause(wait_base):
    def __init__(self) -> None:
        self._usual = wait_random_exponential(multiplier=0.05, max=1.0)

    def __call__(self, retry_state: RetryCallState) -> float:
        said = pause_after(retry_state.outcome.exception() if retry_state.outcome else None)
        return said or self._usual(retry_state)
