"""StoreService: who may keep and read which record.

1. The source of a record is the verified caller, never something in the message. A name holds its source, so nobody
   meets, hides or finds out another's record by putting one.
2. What is put is of a kept type, for a purpose of that type, and is what its contract asks for.
3. Its source reads a record for any purpose that it has a grant for; others for a purpose of its type. For everybody
   else the record does not exist.
4. Only its own records are listed to a caller.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import grpc
from vn.common.v1.identifiers_pb2 import PersonNumber
from vn.store.v1 import store_pb2 as pb
from vn.store.v1.store_pb2_grpc import StoreServiceServicer

from adapters.caller import Caller
from adapters.refusals import Refusal, refuse
from adapters.source import Context, Row
from adapters.store.records import Name, Origin, Records, Stored, VersionTaken
from adapters.store.types import KEPT, BodyInvalid, Kept, parse_body, persons_in

__all__ = ["Store"]

TYPE_NOT_KEPT = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "TYPE_NOT_KEPT",
    "the store keeps no records of this type; keep them yourself, or ask the store's operator to link the contract",
)
PURPOSE_UNFIT = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "PURPOSE_UNFIT",
    "records of this type are not put for the purpose of this call; say the purpose that they are for",
)
BODY_INVALID = Refusal(
    grpc.StatusCode.INVALID_ARGUMENT,
    "BODY_INVALID",
    "the body is not a whole and valid message of the record's type, or has fields that its contract does not know",
)
SUBJECTS_DIFFER = Refusal(
    grpc.StatusCode.INVALID_ARGUMENT,
    "SUBJECTS_DIFFER",
    "subjects must name every person whose number is in the body, each once, and nobody else",
)
VERSION_TAKEN = Refusal(
    grpc.StatusCode.ALREADY_EXISTS,
    "VERSION_TAKEN",
    "this version is there with other content, or a newer one is; read the record, then put the next version",
)
RECORD_UNKNOWN = Refusal(
    grpc.StatusCode.NOT_FOUND,
    "RECORD_UNKNOWN",
    "there is no such record for this caller and purpose; check type, source, key, version and purpose",
)


class Store(StoreServiceServicer):
    """The servicer. `who` is the verified caller, `now` the time in UTC."""

    def __init__(self, records: Records, who: Callable[[], Caller], now: Callable[[], datetime]) -> None:
        self._records = records
        self._who = who
        self._now = now

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:
        caller = self._who()
        kept = KEPT.get(request.record_type)
        if kept is None:
            await refuse(context, TYPE_NOT_KEPT)
        if caller.purpose not in kept.purposes:
            await refuse(context, PURPOSE_UNFIT)
        await _verify_body(request, kept, context)
        name = Name(request.record_type, caller.path, request.key)
        origin = Origin(caller.request_id, caller.purpose, int(self._now().timestamp() * 1000))
        try:
            origin = await self._records.put(context, name, Stored(request.version, request.body, origin))
        except VersionTaken:
            await refuse(context, VERSION_TAKEN)
        return pb.PutResponse(name=_name(name), version=request.version, provenance=_provenance(origin))

    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        caller, asked = self._who(), request.name
        kept = KEPT.get(asked.record_type)
        if kept is None or (caller.path != asked.source and caller.purpose not in kept.purposes):
            await refuse(context, RECORD_UNKNOWN)
        name = Name(asked.record_type, asked.source, asked.key)
        found = await self._records.get(context, name, request.version)
        if found is None:
            await refuse(context, RECORD_UNKNOWN)
        record = pb.Record(
            name=_name(name),
            version=found.version,
            body=found.body,
            subjects=[PersonNumber(value=number) for number in persons_in(parse_body(kept, found.body))],
            provenance=_provenance(found.origin),
        )
        return pb.GetResponse(record=record)

    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        source = self._who().path
        page = await self._records.entries(context, request.record_type, source, request.page_size, request.page_token)
        entries = [_entry(request.record_type, source, row) for row in page.rows]
        return pb.ListResponse(entries=entries, next_page_token=page.next_token)


async def _verify_body(request: pb.PutRequest, kept: Kept, context: Context) -> None:
    try:
        persons = persons_in(parse_body(kept, request.body))
    except BodyInvalid:
        await refuse(context, BODY_INVALID)
    if sorted(person.value for person in request.subjects) != persons:
        await refuse(context, SUBJECTS_DIFFER)


def _entry(record_type: str, source: str, row: Row) -> pb.RecordEntry:
    origin = Origin(bytes(row["request_id"]), row["purpose"], row["stored_at_ms"])
    name = _name(Name(record_type, source, row["key"]))
    return pb.RecordEntry(name=name, version=row["version"], provenance=_provenance(origin))


def _name(name: Name) -> pb.RecordName:
    return pb.RecordName(record_type=name.type, source=name.source, key=name.key)


def _provenance(origin: Origin) -> pb.Provenance:
    return pb.Provenance(request_id=origin.request_id, purpose=origin.purpose, stored_at_ms=origin.stored_at_ms)
