"""PopulationService over a PersonStore.

A caller gets the fields it named and no others; VerifyPerson answers the same
for a wrong name and for a number nobody has; a newborn's number is given once
for one birth notice, however often it is asked for, and to one registrar, the
verified caller that entered it. What the wire cannot check
is checked here before a number is given: the parents exist and can be parents,
the ward is one of today's.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from typing import Any, Literal

import grpc
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_FEMALE, SEX_MALE, Address, PartialDate, PersonName
from vn.population.v1 import population_pb2 as pb
from vn.population.v1.population_pb2_grpc import PopulationServiceServicer

from adapters.administrative.table import CURRENT_LIST, Level, Unit, UnitTable, UnknownUnit
from adapters.caller import Caller
from adapters.population.records import Birthday, Name, PersonRecord, person_number
from adapters.population.store import Notice, NoticeConflict, NoticeElsewhere, NumbersExhausted, PersonStore
from adapters.refusals import Refusal, refuse

__all__ = ["Population"]

YOUNGEST_PARENT = 12  # years between a parent's birth and the child's; below it, an entry is a slip of the pen

PERSON_UNKNOWN = Refusal(
    grpc.StatusCode.NOT_FOUND, "PERSON_UNKNOWN", "nobody in the register has this number; check it with the person"
)
PARENT_UNKNOWN = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "PARENT_UNKNOWN",
    "a parent is not in the register; enter the parent first or leave the parent out",
)
PARENT_IMPOSSIBLE = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "PARENT_IMPOSSIBLE",
    "a parent's sex or age cannot be right for this child; check which number belongs to whom",
)
WARD_NOT_CURRENT = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "WARD_NOT_CURRENT",
    "the registration ward is not a ward of the current code list; resolve it at the administrative units first",
)
NOTICE_CONFLICT = Refusal(
    grpc.StatusCode.ALREADY_EXISTS,
    "NOTICE_CONFLICT",
    "this birth notice was entered with other content; compare it with the paper before anything else",
)
NOTICE_ELSEWHERE = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "NOTICE_ELSEWHERE",
    "another registrar entered this birth notice; whoever needs the certificate asks there",
)
NUMBERS_EXHAUSTED = Refusal(
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    "NUMBERS_EXHAUSTED",
    "no free number was found for this province and year; call the operator of the register",
)

_Context = grpc.aio.ServicerContext[Any, Any]


class Population(PopulationServiceServicer):
    """The servicer.

    `draw_serial` returns 0-999,999, unpredictable in service, scripted in tests; `caller` is that of the call being
    served.
    """

    def __init__(
        self, store: PersonStore, table: UnitTable, draw_serial: Callable[[], int], caller: Callable[[], Caller]
    ) -> None:
        self._store = store
        self._table = table
        self._draw_serial = draw_serial
        self._caller = caller

    async def GetPerson(self, request: pb.GetPersonRequest, context: _Context) -> pb.GetPersonResponse:
        found = await self._store.person(context, request.person_number.value)
        if found is None:
            await refuse(context, PERSON_UNKNOWN)
        answer = pb.GetPersonResponse()
        answer.person.SetInParent()
        request.read_mask.MergeMessage(_person_message(found), answer.person)
        return answer

    async def VerifyPerson(self, request: pb.VerifyPersonRequest, context: _Context) -> pb.VerifyPersonResponse:
        found = await self._store.person(context, request.person_number.value)
        asked = (_folded(_name(request.name)), _birthday(request.birth_date))
        return pb.VerifyPersonResponse(
            matches=found is not None and asked == (_folded(found.name), found.birthday),
        )

    async def RegisterNewborn(
        self, request: pb.RegisterNewbornRequest, context: _Context
    ) -> pb.RegisterNewbornResponse:
        notice = Notice(request.birth_notice_number, _content(request), self._caller().path)
        try:
            number = await self._store.number_for(context, notice)
            if number is None:
                draw = await self._newborn(request, context)
                number = await self._store.enter_newborn(context, notice, draw)
        except NoticeElsewhere:
            await refuse(context, NOTICE_ELSEWHERE)
        except NoticeConflict:
            await refuse(context, NOTICE_CONFLICT)
        except NumbersExhausted:
            await refuse(context, NUMBERS_EXHAUSTED)
        return pb.RegisterNewbornResponse(person_number=PersonNumber(value=number))

    async def _newborn(self, request: pb.RegisterNewbornRequest, context: _Context) -> Callable[[], PersonRecord]:
        """The record of the child, with another number at each call."""
        ward = await self._ward(request.registration_ward, context)
        mother = await self._parent(request, "mother_number", context)
        father = await self._parent(request, "father_number", context)
        home = mother or father
        if home is None:  # the contract's rules ask for one; a caller that skipped them ends here
            await refuse(context, PARENT_UNKNOWN)
        return lambda: _newborn(request, ward, home, self._draw_serial())

    async def _ward(self, code: AdministrativeUnitCode, context: _Context) -> Unit:
        try:
            ward = self._table.unit(code.code_list_version, code.code)
        except UnknownUnit:
            await refuse(context, WARD_NOT_CURRENT)
        if ward.code_list != CURRENT_LIST or ward.level is not Level.WARD:
            await refuse(context, WARD_NOT_CURRENT)
        return ward

    async def _parent(
        self,
        request: pb.RegisterNewbornRequest,
        field: Literal["mother_number", "father_number"],
        context: _Context,
    ) -> PersonRecord | None:
        if not request.HasField(field):
            return None
        parent = await self._store.person(context, getattr(request, field).value)
        if parent is None:
            await refuse(context, PARENT_UNKNOWN)
        old_enough = request.birth_date.year - parent.birthday.year >= YOUNGEST_PARENT
        if parent.female != (field == "mother_number") or not old_enough:
            await refuse(context, PARENT_IMPOSSIBLE)
        return parent


def _newborn(request: pb.RegisterNewbornRequest, ward: Unit, home: PersonRecord, serial: int) -> PersonRecord:
    female = request.sex == SEX_FEMALE
    return PersonRecord(
        number=person_number(ward.province_code, request.birth_date.year, female, serial),
        name=_name(request.name),
        birthday=_birthday(request.birth_date),
        female=female,
        alive=True,
        ward=home.ward,
        address=home.address,
        mother=request.mother_number.value,
        father=request.father_number.value,
    )


def _content(request: pb.RegisterNewbornRequest) -> bytes:
    """What must be equal when a notice comes again; our own form, as protobuf's bytes may change with its version."""
    name, born, ward = _name(request.name), request.birth_date, request.registration_ward
    parts = [
        *(name.family, name.middle, name.given, born.year, born.month, born.day, request.sex),
        *(ward.code_list_version, ward.code, request.mother_number.value, request.father_number.value),
    ]
    return json.dumps(parts, ensure_ascii=False).encode()


def _person_message(person: PersonRecord) -> pb.Person:
    return pb.Person(
        person_number=PersonNumber(value=person.number),
        name=PersonName(family=person.name.family, middle=person.name.middle, given=person.name.given),
        birth_date=PartialDate(year=person.birthday.year, month=person.birthday.month, day=person.birthday.day),
        sex=SEX_FEMALE if person.female else SEX_MALE,
        residence=Address(
            ward=AdministrativeUnitCode(code_list_version=CURRENT_LIST, code=person.ward), detail=person.address
        ),
        mother_number=PersonNumber(value=person.mother) if person.mother else None,
        father_number=PersonNumber(value=person.father) if person.father else None,
        life_status=pb.LIFE_STATUS_ALIVE if person.alive else pb.LIFE_STATUS_DECEASED,
    )


def _name(name: PersonName) -> Name:
    """In form NFC, as the register keeps it."""
    return Name(*(unicodedata.normalize("NFC", part) for part in (name.family, name.middle, name.given)))


def _birthday(date: PartialDate) -> Birthday:
    return Birthday(date.year, date.month, date.day)


def _folded(name: Name) -> tuple[str, str, str]:
    return name.family.casefold(), name.middle.casefold(), name.given.casefold()
