"""What civil status asks of the other registers, and how their noes become ours.

Works on any channel that stock stubs accept. A register that did not answer may be asked again: population knows its
own newborns by the birth notice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from vn.administrative.v1.administrative_pb2 import ResolveUnitRequest, ResolveUnitResponse
from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceStub
from vn.civilstatus.v1.civilstatus_pb2 import Parent, RegisterBirthRequest
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.population.v1.population_pb2 import GetPersonRequest, RegisterNewbornRequest
from vn.population.v1.population_pb2_grpc import PopulationServiceStub

from adapters.asking import PATIENCE_S, Noes, ask
from adapters.refusals import Refusal

if TYPE_CHECKING:
    from vn.administrative.v1.administrative_pb2_grpc import AdministrativeUnitServiceAsyncStub
    from vn.population.v1.population_pb2_grpc import PopulationServiceAsyncStub

__all__ = ["NOTICE_CONFLICT", "Parents", "Registers"]

WARD_UNKNOWN = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "WARD_UNKNOWN",
    "the code list of the birth ward is not served or does not have the code; check the list it was copied from",
)
PARENT_UNKNOWN = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "PARENT_UNKNOWN",
    "a parent is not in the population register; check the numbers, or leave out a parent who has none",
)
PARENT_IMPOSSIBLE = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "PARENT_IMPOSSIBLE",
    "population cannot enter this child of these parents: check sex, age and which number belongs to whom",
)
NOTICE_CONFLICT = Refusal(
    grpc.StatusCode.ALREADY_EXISTS,
    "NOTICE_CONFLICT",
    "this birth notice was registered with other content; compare it with the paper before anything else",
)
NOTICE_ELSEWHERE = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "NOTICE_ELSEWHERE",
    "this birth notice belongs to another civil status office; ask that office for the certificate",
)

_UNIT: Noes = MappingProxyType({grpc.StatusCode.NOT_FOUND: WARD_UNKNOWN})
_PARENT: Noes = MappingProxyType({grpc.StatusCode.NOT_FOUND: PARENT_UNKNOWN})
_NEWBORN: Noes = MappingProxyType(
    {
        grpc.StatusCode.ALREADY_EXISTS: NOTICE_CONFLICT,
        (grpc.StatusCode.FAILED_PRECONDITION, "NOTICE_ELSEWHERE"): NOTICE_ELSEWHERE,
        grpc.StatusCode.FAILED_PRECONDITION: PARENT_IMPOSSIBLE,
    }
)


@dataclass(frozen=True, slots=True)
class Parents:
    """As they go on the certificate; at least one is there."""

    mother: Parent | None
    father: Parent | None


class Registers:
    """Administrative units and population, as civil status sees them. What stands in a birth's way is a Cannot."""

    def __init__(self, units: AdministrativeUnitServiceAsyncStub, population: PopulationServiceAsyncStub) -> None:
        self._units = units
        self._population = population

    @classmethod
    def on(cls, channel: grpc.aio.Channel) -> Registers:
        """Both reached through one channel, as on the bus."""
        return cls(AdministrativeUnitServiceStub(channel), PopulationServiceStub(channel))

    async def resolve(self, ward: AdministrativeUnitCode) -> ResolveUnitResponse:
        return await ask(self._units.ResolveUnit(ResolveUnitRequest(code=ward), timeout=PATIENCE_S), _UNIT)

    async def parents(self, birth: RegisterBirthRequest) -> Parents:
        """Both at once. Nothing but the name is asked for: whether they can be parents, population judges itself."""
        mother, father = await asyncio.gather(
            self._parent(birth.mother_number if birth.HasField("mother_number") else None),
            self._parent(birth.father_number if birth.HasField("father_number") else None),
        )
        return Parents(mother, father)

    async def number_for_newborn(self, birth: RegisterBirthRequest, ward: AdministrativeUnitCode) -> PersonNumber:
        """The child's number; the same one however often it is asked for."""
        request = RegisterNewbornRequest(
            birth_notice_number=birth.birth_notice_number,
            name=birth.child_name,
            birth_date=birth.birth_date,
            sex=birth.child_sex,
            registration_ward=ward,
            mother_number=birth.mother_number if birth.HasField("mother_number") else None,
            father_number=birth.father_number if birth.HasField("father_number") else None,
        )
        answer = await ask(self._population.RegisterNewborn(request, timeout=PATIENCE_S), _NEWBORN)
        return answer.person_number

    async def _parent(self, number: PersonNumber | None) -> Parent | None:
        if number is None:
            return None
        request = GetPersonRequest(person_number=number, read_mask=FieldMask(paths=["name"]))
        answer = await ask(self._population.GetPerson(request, timeout=PATIENCE_S), _PARENT)
        return Parent(person_number=number, name=answer.person.name)
