"""What insurance asks of the other registers, field by field no more than it decides by."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from vn.business.v1.business_pb2 import ENTERPRISE_STATUS_OPERATING, GetStatusRequest
from vn.business.v1.business_pb2_grpc import BusinessServiceStub
from vn.common.v1.identifiers_pb2 import PersonNumber, TaxCode
from vn.population.v1.population_pb2 import GetPersonRequest, Person
from vn.population.v1.population_pb2_grpc import PopulationServiceStub

from adapters.asking import PATIENCE_S, Cannot, Noes, ask
from adapters.refusals import Refusal

if TYPE_CHECKING:
    from vn.business.v1.business_pb2_grpc import BusinessServiceAsyncStub
    from vn.population.v1.population_pb2_grpc import PopulationServiceAsyncStub

__all__ = ["Registers"]

CHILD_UNKNOWN = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "CHILD_UNKNOWN",
    "the child is not in the population register; register the birth first, or check the number",
)
NOT_THE_MOTHER = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "NOT_THE_MOTHER",
    "the population register does not name the claimant as the child's mother; check both numbers",
)
EMPLOYER_NOT_OPERATING = Refusal(
    grpc.StatusCode.FAILED_PRECONDITION,
    "EMPLOYER_NOT_OPERATING",
    "the business register does not have the mother's employer in operation; claim at the insurance office in person",
)

_CHILD: Noes = MappingProxyType({grpc.StatusCode.NOT_FOUND: CHILD_UNKNOWN})
_EMPLOYER: Noes = MappingProxyType({grpc.StatusCode.NOT_FOUND: EMPLOYER_NOT_OPERATING})


class Registers:
    """Population and business, as insurance sees them. Whatever stands against a decision is raised as Cannot."""

    def __init__(self, population: PopulationServiceAsyncStub, business: BusinessServiceAsyncStub) -> None:
        self._population = population
        self._business = business

    @classmethod
    def on(cls, channel: grpc.aio.Channel) -> Registers:
        """Both reached through one channel, as on the bus."""
        return cls(PopulationServiceStub(channel), BusinessServiceStub(channel))

    async def child(self, number: PersonNumber) -> Person:
        """When the child was born, and whether it lives."""
        return await self._person(number, "birth_date", "life_status")

    async def child_of(self, mother: PersonNumber, child: PersonNumber) -> Person:
        """When her child was born."""
        found = await self._person(child, "mother_number", "birth_date")
        if found.mother_number.value != mother.value:
            raise Cannot(NOT_THE_MOTHER)
        return found

    async def verify_operating(self, employer: TaxCode) -> None:
        call = self._business.GetStatus(GetStatusRequest(tax_code=employer), timeout=PATIENCE_S)
        if (await ask(call, _EMPLOYER)).status != ENTERPRISE_STATUS_OPERATING:
            raise Cannot(EMPLOYER_NOT_OPERATING)

    async def _person(self, number: PersonNumber, *fields: str) -> Person:
        request = GetPersonRequest(person_number=number, read_mask=FieldMask(paths=fields))
        return (await ask(self._population.GetPerson(request, timeout=PATIENCE_S), _CHILD)).person
