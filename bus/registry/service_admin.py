"""AdminService: changes recorded through the bus, by operators' own systems (govbus.registry.v1).

Whoever holds a grant for these methods is an operator; the gate has judged that before a call arrives here. Who did it
is the caller and the official that the signed header names: `class/member/subsystem:official`.

Some changes are not for this door: a certificate, a signing key and a used token stand for proofs that only enrolment
and renewal have seen, and an instance is founded once, where its keys are.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from govbus.registry.v1 import admin_pb2 as pb
from govbus.registry.v1 import admin_pb2_grpc as rpc

from bus.exchange import Reason, govbus_call
from bus.registry.change import Change
from bus.registry.clock import ClockSetBack
from bus.registry.codec import PayloadError, decode_change, encode_change
from bus.registry.contract_compare import ContractBreaks
from bus.registry.enrolment_tokens import TokenIssued, TokenUsed
from bus.registry.event import Event
from bus.registry.fold import Act
from bus.registry.keys import CertificateAdded, SigningKeyAdded
from bus.registry.members import InstanceFounded
from bus.registry.refusal import Refusal
from bus.registry.registry import Registry
from bus.registry.service_answers import caller, refuse

__all__ = ["Admin"]

NOT_HERE: Final = (CertificateAdded, SigningKeyAdded, TokenUsed, InstanceFounded, ClockSetBack)
_CHANGES: Final = 100
_FILES_BYTES: Final = 3 * 1024 * 1024
_EVENTS: Final = 500
_USUAL_EVENTS: Final = 100


class Admin(rpc.AdminServiceServicer):
    """Stock servicer."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # Contracts are judged one at a time: whoever waits for that, or has left, must not hold the threads of others.
        self._judging = ThreadPoolExecutor(1, "contracts")

    async def RecordChanges(self, request: pb.RecordChangesRequest, context: Any) -> pb.RecordChangesResponse:
        official = govbus_call().official
        if not official:
            refuse(context, Reason.CHANGE_REFUSED, {"rule": "official-unnamed"})
        if not 1 <= len(request.changes) <= _CHANGES or sum(map(len, request.files)) > _FILES_BYTES:
            refuse(context, Reason.CHANGE_REFUSED, {"rule": "too-many"})
        try:
            changes = [_change(one) for one in request.changes]
        except PayloadError:
            refuse(context, Reason.CHANGE_REFUSED, {"rule": "malformed"})
        act = Act(f"{caller().path}:{official}", request.reason)
        if any(isinstance(one, NOT_HERE) for one in changes) or any(
            # Who answers for a token is who asks for it: what is enrolled with it is recorded in that name.
            isinstance(one, TokenIssued) and one.operator != act.operator
            for one in changes
        ):
            refuse(context, Reason.CHANGE_REFUSED, {"rule": "not-by-admin"})
        try:
            thread = self._judging if request.files else None
            files = tuple(request.files)
            events = await asyncio.get_running_loop().run_in_executor(thread, self._record, changes, act, files)
        except ContractBreaks as refusal:
            refuse(context, Reason.CONTRACT_BREAKING, _first_of(refusal))
        except Refusal as refusal:
            refuse(context, Reason.CHANGE_REFUSED, {"rule": refusal.reason.value})
        return pb.RecordChangesResponse(log_position=events[-1].position, log_head=events[-1].hash)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        size = min(request.page_size, _EVENTS) if request.page_size > 0 else _USUAL_EVENTS
        try:
            events = await asyncio.to_thread(self._events, request.after, size)
        except ValueError:
            refuse(context, Reason.ENTRY_UNKNOWN)
        return pb.ListEventsResponse(events=[_event(one) for one in events])

    def _record(self, changes: Sequence[Change], act: Act, files: Sequence[bytes]) -> tuple[Event, ...]:
        return self._registry.record(changes, act, {sha256(one).digest(): one for one in files})

    def _events(self, after: int, size: int) -> list[Event]:
        return list(islice(self._registry.history(after, after + size), size))


def _change(found: pb.Change) -> Change:
    """The change; PayloadError unless its text is the one canonical text of it."""
    change = decode_change(found.kind, found.payload)
    if encode_change(change) != found.payload:
        raise PayloadError("not canonical")
    return change


def _first_of(refusal: ContractBreaks) -> dict[str, str]:
    """The first break, in buf's terms, and how many there are."""
    first = refusal.breaks[0]
    return {"file": first.file, "rule": first.rule, "element": first.element, "breaks": str(len(refusal.breaks))}


def _event(event: Event) -> pb.Event:
    return pb.Event(
        position=event.position,
        time_ms=event.time_ms,
        operator=event.operator,
        reason=event.reason,
        change=pb.Change(kind=event.change.kind, payload=encode_change(event.change)),
        hash=event.hash,
    )
