"""What one register asks of another, and how the other's noes become its own.

Only a code that the provider itself gave is read as an answer, and only one that the caller names, alone or together
with the reason that begins the provider's fixed text; whatever else went wrong is "did not answer". Each question has a
deadline of its own, within that of the call being served.
"""

from __future__ import annotations

from adapters.runtime import answered_by_provider  # isort: skip - first, before anything that imports gRPC

from collections.abc import Awaitable, Mapping
from typing import Final, TypeVar

import grpc

from adapters.refusals import Refusal

__all__ = ["PATIENCE_S", "REGISTER_SILENT", "Cannot", "Noes", "ask"]

PATIENCE_S: Final = 5.0  # for one question

REGISTER_SILENT = Refusal(
    grpc.StatusCode.ABORTED,
    "REGISTER_SILENT",
    "a register that is needed did not answer; repeat the call with the same number, nothing happens twice",
)

_Answer = TypeVar("_Answer")
Noes = Mapping[grpc.StatusCode | tuple[grpc.StatusCode, str], Refusal]
"""What is told the client for each code that the provider may answer with, or for a code with one reason."""


class Cannot(Exception):
    """What was asked for cannot be done now; `refusal` is what to tell the client."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


async def ask(call: Awaitable[_Answer], noes: Noes) -> _Answer:
    """The answer; Cannot with what `noes` says, else with REGISTER_SILENT."""
    try:
        return await call
    except grpc.RpcError as error:
        raise Cannot(_refusal(error, noes)) from error


def _refusal(error: grpc.RpcError, noes: Noes) -> Refusal:
    if not answered_by_provider(error):
        return REGISTER_SILENT
    code, (reason, _, _) = error.code(), (error.details() or "").partition(":")
    return noes.get((code, reason)) or noes.get(code) or REGISTER_SILENT
