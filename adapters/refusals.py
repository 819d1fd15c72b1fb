"""The one way an adapter says no: a gRPC code and a fixed text.

A refusal is a constant of a module, never made from a request or a record, so
that no name or number can leave in an error (protocol.md 8); the runtime lets
no text pass that was not declared before serving began. It begins with a word
in capitals that a program may compare, then says what to do next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import grpc

from adapters.runtime import fixed_text

__all__ = ["Refusal", "refuse"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A way in which a service says no; declared as a constant beside the service."""

    code: grpc.StatusCode
    reason: str  # such as UNIT_UNKNOWN: the same word for the same cause, for ever
    advice: str  # what the caller should do

    def __post_init__(self) -> None:
        fixed_text(self.text)

    @property
    def text(self) -> str:
        """What travels as grpc-message."""
        return f"{self.reason}: {self.advice}"


async def refuse(context: grpc.aio.ServicerContext[Any, Any], refusal: Refusal) -> NoReturn:
    """End the call. Never returns: grpc raises to leave the handler."""
    await context.abort(refusal.code, refusal.text)
    raise AssertionError("grpc returned from abort")
