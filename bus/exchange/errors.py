"""What a caller catches. Two questions, two class trees, one object.

Who says so: `ProviderError` bears a verified response signature and is the provider's answer; every other error is
`Refused`, the bus's (protocol.md 5), of which `RefusedLocally` was found by this runtime itself.
Why: one class for each reason in `exceptions` (`NoGrant`, `Replayed`, ...). What is raised derives from both, so
`except NoGrant`, `except ProviderError` and stock code's `except grpc.RpcError` all work.

Texts are the contract's fixed ones. No error carries what the other side wrote, except a verified provider's details.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

import grpc

from bus.exchange.meanings import Called, Meaning, meaning
from bus.exchange.reasons import Reason

if TYPE_CHECKING:
    from bus.exchange.evidence import CallEvidence

__all__ = ["CallError", "Failure", "ProviderError", "Refused", "RefusedLocally", "exception_for"]

_NOTHING: Mapping[str, str] = MappingProxyType({})
_REASON_CLASSES: "dict[Reason, type[CallError]]" = {}
_BOTH: "dict[tuple[type[CallError], Reason], type[CallError]]" = {}


@dataclass(frozen=True, slots=True)
class Failure:
    """How one call failed. `reason` is None for a provider's own error that names none of ours."""

    reason: Reason | None
    code: grpc.StatusCode
    text: str
    metadata: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    status_details: bytes = b""
    request_id: bytes = b""
    evidence: "CallEvidence | None" = None
    receipt_refused: str = ""
    """A bus refusal came with a receipt that does not verify: what failed first. The receipt was dropped."""


class CallError(grpc.RpcError):
    """A call that gave no usable answer."""

    REASON: ClassVar[Reason]

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.text)
        self.failure = failure

    def __init_subclass__(cls) -> None:
        if "REASON" in cls.__dict__:
            _REASON_CLASSES[cls.REASON] = cls

    @property
    def reason(self) -> Reason | None:
        """Why, as the contract names it; None for a provider's own error."""
        return self.failure.reason

    @property
    def meaning(self) -> Meaning | None:
        """What the contract says about the reason: code, text, remedy, whether the provider was called."""
        return meaning(self.failure.reason) if self.failure.reason else None

    @property
    def provider_called(self) -> Called:
        """Whether the provider's service may have acted."""
        found = self.meaning
        return found.called if found else Called.YES

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the reason's declaration lists, for example `field` or `server_time_ms`."""
        return self.failure.metadata

    @property
    def server_time_ms(self) -> int | None:
        """The refusing side's clock where the reason tells it. Nothing is ever signed by it."""
        text = self.failure.metadata.get("server_time_ms", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    @property
    def request_id(self) -> str:
        """The id to name when asking anybody about this call; empty when nothing was signed."""
        return self.failure.request_id.hex()

    @property
    def evidence(self) -> "CallEvidence | None":
        """What travelled, when it was to be kept."""
        return self.failure.evidence

    @property
    def receipt_refused(self) -> str:
        """What was wrong with the receipt that came with a refusal; it is not in the evidence. Empty: nothing was."""
        return self.failure.receipt_refused

    def code(self) -> grpc.StatusCode:
        """The gRPC code, as stock clients ask for it."""
        return self.failure.code

    def details(self) -> str:
        """The fixed text, as stock clients ask for it."""
        return self.failure.text

    def status_details(self) -> bytes:
        """The encoded google.rpc.Status, empty when there is none."""
        return self.failure.status_details

    def __str__(self) -> str:
        found = self.meaning
        name = found.reason if found else self.failure.code.name
        remedy = f" {found.remedy}" if found else ""
        values = "".join(f" {key}={value}" for key, value in self.failure.metadata.items())
        dropped = f" receipt_refused={self.receipt_refused!r}" if self.receipt_refused else ""
        return f"{name}: {self.failure.text}{remedy}{values}{dropped}"


class Refused(CallError):
    """The bus refused, or what arrived cannot be trusted: nothing here is the provider's word."""


class RefusedLocally(Refused):
    """This runtime refused, before sending or on seeing the answer."""


class ProviderError(CallError):
    """The provider's answer is an error: its signature over code, text and details was verified."""


def exception_for(origin: type[CallError], reason: Reason | None) -> type[CallError]:
    """The class that is both `origin` and the reason's own; `origin` itself when there is no reason."""
    if reason is None:
        return origin
    found = _BOTH.get((origin, reason))
    if found is None:
        own = _REASON_CLASSES[reason]
        found = type(own.__name__, (own, origin), {"__module__": own.__module__, "__doc__": own.__doc__})
        _BOTH[origin, reason] = found
    return found
