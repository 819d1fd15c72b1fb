"""A named refusal inside the trust logic: no gRPC, no text, only the reason and what its declaration lists."""

from collections.abc import Mapping
from types import MappingProxyType

from bus.exchange.reasons import Reason

__all__ = ["RequestRefused", "ResponseRefused"]

_NOTHING: Mapping[str, str] = MappingProxyType({})


class RequestRefused(Exception):
    """A request that fails a check of protocol.md 4."""

    def __init__(self, reason: Reason, metadata: Mapping[str, str] = _NOTHING) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.metadata = metadata


class ResponseRefused(Exception):
    """An answer or a receipt that must not be believed; `step` names what failed first."""

    def __init__(self, reason: Reason, step: str) -> None:
        super().__init__(f"{reason}: {step}")
        self.reason = reason
        self.step = step
