"""The one place where adapters touch the bus's runtime; everything else here is stock gRPC.

Calls that a servicer makes carry the case id of the call it serves. Purpose and official are not passed on: for what,
and by whose hand, an adapter asks is its own statement, made in its configuration (client.purpose, client.official).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import grpc

from bus.exchange.context import call_context, govbus_call
from bus.exchange.errors import Refused

__all__ = ["answered_by_provider", "case_of_the_call"]


def answered_by_provider(error: grpc.RpcError) -> bool:
    """Whether the code of a failed call is the provider's word, not the bus's or the network's."""
    return not isinstance(error, Refused)


def case_of_the_call(_: grpc.aio.ServicerContext[Any, Any]) -> AbstractContextManager[None]:
    """For the block: calls to other registers carry the case id of the call being served."""
    return call_context(case_id=govbus_call().case_id or None)
