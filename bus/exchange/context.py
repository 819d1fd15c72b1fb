"""What surrounds a call: the client's purpose, case and official, and, inside a provider, the call being served.

A client says them per call (`channel.using(purpose=...)`), for a block (`with call_context(purpose=...)`) or once in
its configuration; the nearest wins. A servicer reads who asks with `govbus_call()`; a client call made inside it
inherits nothing but the remaining time and the trace: purpose and grant of one call never pass silently into the next.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus.exchange.evidence import CallEvidence

__all__ = ["CallOptions", "IncomingCall", "call_context", "govbus_call"]


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What the caller said. None: not said here."""

    purpose: str | None = None
    case_id: str | None = None
    official: str | None = None
    provider: str | None = None
    grant_id: str | None = None
    idempotency_key: str | None = None
    on_evidence: "Callable[[CallEvidence], None] | None" = None
    untraced: bool | None = None
    """In no trace, at nobody's: a question that waits for minutes says nothing by its length."""

    def over(self, wider: "CallOptions") -> "CallOptions":
        """These, and where nothing is said here, what `wider` says."""
        if wider is NOTHING_SAID:
            return self
        said = {name: value for name in _NAMES if (value := getattr(self, name)) is not None}
        return replace(wider, **said)


_NAMES = tuple(CallOptions.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class IncomingCall:
    """The verified call that a servicer is serving."""

    request_id: bytes
    client: str
    provider: str
    broker: str
    method: str
    purpose: str
    case_id: str
    official: str
    grant_id: str
    idempotency_key: str
    sequence: int
    intent_time_ms: int
    snapshot_version: int
    deadline: float
    """When the client stops waiting, on time.monotonic()'s scale."""

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.deadline - time.monotonic())


NOTHING_SAID = CallOptions()
_OPTIONS: ContextVar[CallOptions] = ContextVar("govbus_call_options", default=NOTHING_SAID)
_INCOMING: ContextVar[IncomingCall | None] = ContextVar("govbus_incoming_call", default=None)


@contextmanager
def call_context(
    *,
    purpose: str | None = None,
    case_id: str | None = None,
    official: str | None = None,
    provider: str | None = None,
    grant_id: str | None = None,
) -> Iterator[None]:
    """Say these for every call made inside the block, in this task."""
    options = CallOptions(purpose, case_id, official, provider, grant_id).over(_OPTIONS.get())
    token = _OPTIONS.set(options)
    try:
        yield
    finally:
        _OPTIONS.reset(token)


def current_options() -> CallOptions:
    """What the surrounding blocks say."""
    return _OPTIONS.get()


def govbus_call() -> IncomingCall:
    """The call being served; LookupError outside a servicer."""
    call = _INCOMING.get()
    if call is None:
        raise LookupError("no govbus call is being served here: use govbus_call() inside a servicer's method")
    return call


def incoming_call() -> IncomingCall | None:
    """As govbus_call, None outside a servicer."""
    return _INCOMING.get()


def begin_serving(call: IncomingCall) -> Token[IncomingCall | None]:
    """Make `call` the one that govbus_call answers, until `end_serving` of what is returned."""
    return _INCOMING.set(call)


def end_serving(token: Token[IncomingCall | None]) -> None:
    """As before `begin_serving`."""
    _INCOMING.reset(token)
