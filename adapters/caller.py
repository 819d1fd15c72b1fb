"""Who asks, as a servicer may use it: only what the runtime verified, never what a message says of its sender."""

from __future__ import annotations

from bus.exchange import govbus_call  # isort: skip - first, before anything that imports gRPC

from dataclasses import dataclass

from pki.identity import parse_spiffe_id

__all__ = ["Caller", "verified_caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """The verified call that is being served."""

    path: str  # of the subsystem, such as gov/moj/portal
    purpose: str
    request_id: bytes


def verified_caller() -> Caller:
    """LookupError outside a servicer of the bus."""
    call = govbus_call()
    return Caller(parse_spiffe_id(call.client).path, call.purpose, call.request_id)
