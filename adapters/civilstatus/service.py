"""CivilStatusService: a birth becomes an entry in the book without a paper from the parents.

1. A notice that is in the book already: the certificate as issued.
2. The ward of birth in today's list. A split ward is asked back; nothing was
   stored or told to anybody yet.
3. The parents' names, from the population register.
4. The child's number, from the population register.
5. The entry, durable; then the certificate. Its copy for the central store goes its own way (deposits.py).

A crash or a silent register after any step leaves nothing half done that
matters: the client repeats, step 4 answers the same number for the same
notice, step 5 enters once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import grpc
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from vn.administrative.v1.administrative_pb2 import UNIT_LEVEL_WARD, AdministrativeUnit, ResolveUnitResponse
from vn.civilstatus.v1 import civilstatus_pb2 as pb
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceServicer
from vn.common.v1.identifiers_pb2 import PersonNumber

from adapters.asking import Cannot
from adapters.civilstatus.book import BirthBook, BirthEntry, NoticeConflict
from adapters.civilstatus.registers import NOTICE_CONFLICT, Parents, Registers
from adapters.refusals import Refusal, refuse

__all__ = ["CivilStatus"]

VIET_NAM = timezone(timedelta(hours=7))  # no summer time; "today" is the day there

BIRTH_IN_FUTURE = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION, "BIRTH_IN_FUTURE", "the day of birth has not come yet; check the notice"
)
WARD_NEEDED = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "WARD_NEEDED",
    "the place of birth is a province or district; name the ward, commune, township or special zone",
)
REGISTRATION_UNKNOWN = Refusal(
    grpc.StatusCode.NOT_FOUND, "REGISTRATION_UNKNOWN", "no birth has this registration number; check it on the paper"
)

_propagator = TraceContextTextMapPropagator()
_Context = grpc.aio.ServicerContext[Any, Any]
Scope = Callable[[str], AbstractContextManager[None]]


class CivilStatus(CivilStatusServiceServicer):
    """The servicer.

    `case` is that of the call being served, `scope` makes the calls to other registers carry the purpose and that case;
    `now` is the time in UTC.
    """

    def __init__(
        self, book: BirthBook, registers: Registers, case: Callable[[], str], scope: Scope, now: Callable[[], datetime]
    ) -> None:
        self._book = book
        self._registers = registers
        self._case = case
        self._scope = scope
        self._now = now

    async def RegisterBirth(self, request: pb.RegisterBirthRequest, context: _Context) -> pb.RegisterBirthResponse:
        try:
            case_id = self._case()
            with self._scope(case_id):
                return await self._register(request, case_id, context)
        except NoticeConflict:
            await refuse(context, NOTICE_CONFLICT)
        except Cannot as no:
            await refuse(context, no.refusal)

    async def GetBirthCertificate(
        self, request: pb.GetBirthCertificateRequest, context: _Context
    ) -> pb.GetBirthCertificateResponse:
        issued = await self._book.certificate(context, request.registration_number)
        if issued is None:
            await refuse(context, REGISTRATION_UNKNOWN)
        return pb.GetBirthCertificateResponse(certificate=pb.BirthCertificate.FromString(issued))

    async def _register(
        self, birth: pb.RegisterBirthRequest, case_id: str, context: _Context
    ) -> pb.RegisterBirthResponse:
        content = _content(birth)
        if issued := await self._book.find(context, birth.birth_notice_number, content):  # (1)
            return _certified(issued)
        now = self._now()
        today = now.astimezone(VIET_NAM).date()
        if (birth.birth_date.year, birth.birth_date.month, birth.birth_date.day) > today.timetuple()[:3]:
            raise Cannot(BIRTH_IN_FUTURE)
        resolved = await self._registers.resolve(birth.birth_ward)  # (2)
        if resolved.split:
            question = pb.WardQuestion(asked=resolved.unit, choices=resolved.successors)
            return pb.RegisterBirthResponse(ward_question=question)
        ward = _only_ward(resolved)
        parents = await self._registers.parents(birth)  # (3)
        number = await self._registers.number_for_newborn(birth, ward.code)  # (4)
        traced: dict[str, str] = {}
        _propagator.inject(traced)
        traceparent = traced.get("traceparent", "")
        entry = BirthEntry(birth.birth_notice_number, content, ward.code.code, today.year, case_id, traceparent)

        def issue(registration_number: str) -> bytes:
            return _issue(birth, registration_number, ward, parents, number, now)

        return _certified(await self._book.enter(context, entry, issue))  # (5)


def _only_ward(resolved: ResolveUnitResponse) -> AdministrativeUnit:
    if len(resolved.successors) != 1 or resolved.successors[0].level != UNIT_LEVEL_WARD:
        raise Cannot(WARD_NEEDED)
    return resolved.successors[0]


def _certified(issued: bytes) -> pb.RegisterBirthResponse:
    return pb.RegisterBirthResponse(certificate=pb.BirthCertificate.FromString(issued))


def _issue(
    birth: pb.RegisterBirthRequest,
    registration_number: str,
    ward: AdministrativeUnit,
    parents: Parents,
    number: PersonNumber,
    now: datetime,
) -> bytes:
    return pb.BirthCertificate(
        registration_number=registration_number,
        child_number=number,
        child_name=birth.child_name,
        child_sex=birth.child_sex,
        birth_date=birth.birth_date,
        birth_ward=ward,
        mother=parents.mother,
        father=parents.father,
        registered_at_ms=int(now.astimezone(UTC).timestamp() * 1000),
    ).SerializeToString()


def _content(birth: pb.RegisterBirthRequest) -> bytes:
    """What must be equal when a notice comes again; our own form, as protobuf's bytes may change with its version."""
    name, born, ward = birth.child_name, birth.birth_date, birth.birth_ward
    parts = [
        *(name.family, name.middle, name.given, born.year, born.month, born.day, birth.child_sex),
        *(ward.code_list_version, ward.code, birth.mother_number.value, birth.father_number.value),
    ]
    return json.dumps(parts, ensure_ascii=False).encode()
