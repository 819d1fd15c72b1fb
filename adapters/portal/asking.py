"""One call of the portal, and what is told of it: who asked whom, for what, how it ended, how long it took.

What a provider writes is never told; of its refusal only the first word of a fixed text, if it is one.
"""

from __future__ import annotations

from bus.exchange import CallError, CallEvidence  # isort: skip - first, before anything that imports gRPC

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import grpc
from vn.portal.v1 import portal_pb2 as pb

from adapters.portal.archive import Archive, request_id_of
from bus.exchange.channel import Channel
from native.codec import decode_receipt, decode_request_header
from pki.identity import SubsystemId, parse_spiffe_id

__all__ = ["Asked", "Asking"]

_REASON: Final = re.compile(r"([A-Z][A-Z0-9_]{2,63}):")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Asked(Generic[_Answer]):
    """How one call ended; `answer` is None when it was refused."""

    answer: _Answer | None
    told: pb.BusCall
    code: grpc.StatusCode


class Asking:
    """The portal's side of the bus in one case."""

    def __init__(self, channel: Channel, portal: SubsystemId, archive: Archive, case_id: str) -> None:
        self._channel = channel
        self._portal = portal
        self._archive = archive
        self.case_id = case_id

    async def ask(
        self,
        method: str,
        call: Callable[[grpc.aio.Channel], Awaitable[_Answer]],
        *,
        purpose: str,
        provider: str = "",
    ) -> Asked[_Answer]:
        """Make the call of `method` that `call` makes on the channel it is given. `provider` is a path, empty: any."""
        kept: list[CallEvidence] = []
        channel = self._channel.using(
            purpose=purpose,
            case_id=self.case_id,
            provider=f"spiffe://{self._portal.trust_domain}/{provider}" if provider else None,
            on_evidence=kept.append,
        )
        told = pb.BusCall(client=self._portal.path, provider=provider, method=method, purpose=purpose)
        answer, code, began = None, grpc.StatusCode.OK, time.monotonic()
        try:
            answer = await call(channel)
        except CallError as error:
            code, told.request_id, told.reason = error.code(), error.request_id, _reason(error)
        told.duration_ms = round((time.monotonic() - began) * 1000)
        told.status = code.name
        for evidence in kept:  # of each attempt; the last one is told
            told.evidence = await asyncio.to_thread(self._archive.keep, evidence)
            _tell(told, evidence)
        return Asked(answer, told, code)


def _tell(told: pb.BusCall, evidence: CallEvidence) -> None:
    told.request_id = request_id_of(evidence)
    told.provider = parse_spiffe_id(decode_request_header(evidence.request_header).provider).path
    told.receipt_sequence = decode_receipt(evidence.receipt).outcome_sequence if evidence.receipt else 0


def _reason(error: CallError) -> str:
    if error.meaning:
        return error.meaning.reason
    found = _REASON.match(error.details())
    return found[1] if found else ""
