"""Through the bus, a birth notice belongs to the subsystem that the bus verified, whatever is said in a message."""

from __future__ import annotations

from tests.adapters.services import OFFICE, PEOPLE, PORTAL, Services, ending  # isort: skip - before gRPC

import grpc
from vn.civilstatus.v1 import civilstatus_pb2
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub
from vn.population.v1.population_pb2 import RegisterNewbornRequest
from vn.population.v1.population_pb2_grpc import PopulationServiceStub

from adapters.administrative.table import UnitTable
from adapters.population.generate import DEFAULT_SEED
from adapters.portal.sample import families
from tests.adapters.births import birth_fields


async def test_notice_that_civil_status_entered_is_nobody_elses(services: Services, table: UnitTable) -> None:
    fields = birth_fields(next(families(table, DEFAULT_SEED, PEOPLE)))
    async with services.client(PORTAL) as channel:
        births = CivilStatusServiceStub(channel.using(purpose="civil.birth", case_id="2026-9"))
        answer = await births.RegisterBirth(civilstatus_pb2.RegisterBirthRequest(**fields))
    assert answer.certificate.registration_number.startswith("gov.moj.civil-status:")
    newborn = RegisterNewbornRequest(
        birth_notice_number=fields["birth_notice_number"],
        name=fields["child_name"],
        birth_date=fields["birth_date"],
        sex=fields["child_sex"],
        registration_ward=answer.certificate.birth_ward.code,
        mother_number=fields["mother_number"],
        father_number=fields["father_number"],
    )
    async with services.client(OFFICE) as channel:
        asked = PopulationServiceStub(channel.using(purpose="tax.audit", case_id="2026-9")).RegisterNewborn(newborn)
        assert await ending(asked) == (grpc.StatusCode.FAILED_PRECONDITION, "NOTICE_ELSEWHERE")
