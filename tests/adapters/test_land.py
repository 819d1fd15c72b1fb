"""The land register, over the bus: a parcel for each household, and yes or no about where somebody lives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.land.v1 import land_pb2 as pb
from vn.land.v1.land_pb2_grpc import LandServiceStub

from adapters.administrative.table import CURRENT_LIST, OLD_LIST
from adapters.land.generate import ParcelRecord, parcels
from adapters.population.generate import DEFAULT_SEED
from adapters.population.records import PersonRecord
from tests.adapters.services import OFFICE, PEOPLE, Services, ending

if TYPE_CHECKING:
    from vn.land.v1.land_pb2_grpc import LandServiceAsyncStub


@pytest.fixture
async def land(services: Services) -> AsyncIterator[LandServiceAsyncStub]:
    async with services.client(OFFICE) as channel:
        yield LandServiceStub(channel.using(purpose="tax.audit", case_id="2026-8"))


@pytest.fixture(scope="module")
def made(people: list[PersonRecord]) -> list[ParcelRecord]:
    return list(parcels(people[:PEOPLE], DEFAULT_SEED))


def asked(person: str, ward: str, code_list: str = CURRENT_LIST) -> pb.ProveResidenceRequest:
    code = AdministrativeUnitCode(code_list_version=code_list, code=ward)
    return pb.ProveResidenceRequest(person_number=PersonNumber(value=person), ward=code)


def test_everybody_lives_on_one_parcel_of_their_ward(people: list[PersonRecord], made: list[ParcelRecord]) -> None:
    homes = {person: parcel for parcel in made for person in parcel.residents}
    assert len({parcel.parcel_id for parcel in made}) == len(made)
    assert sum(len(parcel.residents) for parcel in made) == PEOPLE == len(homes)
    for person in people[:PEOPLE]:
        assert (homes[person.number].ward, homes[person.number].address) == (person.ward, person.address)


def test_the_holder_of_a_parcel_lives_where_anybody_does(people: list[PersonRecord], made: list[ParcelRecord]) -> None:
    alive = {person.number for person in people if person.alive}
    for parcel in made:
        assert parcel.holder in parcel.residents
        assert parcel.holder in alive or not alive & set(parcel.residents)


async def test_a_residence_is_proved_with_its_parcel_and_nothing_else(
    land: LandServiceAsyncStub, made: list[ParcelRecord]
) -> None:
    home = made[5]
    answer = await land.ProveResidence(asked(home.residents[-1], home.ward))
    assert (answer.registered, answer.parcel_id) == (True, home.parcel_id)


async def test_who_lives_elsewhere_is_answered_like_who_is_not_registered(
    land: LandServiceAsyncStub, made: list[ParcelRecord]
) -> None:
    home = made[5]
    other = next(parcel.ward for parcel in made if parcel.ward != home.ward)
    elsewhere = await land.ProveResidence(asked(home.residents[0], other))
    assert elsewhere == await land.ProveResidence(asked("096399999999", other)) == pb.ProveResidenceResponse()


async def test_a_ward_of_an_old_list_is_refused_as_its_code_may_be_another_ward(
    land: LandServiceAsyncStub, made: list[ParcelRecord]
) -> None:
    old = land.ProveResidence(asked(made[5].residents[0], made[5].ward, OLD_LIST))
    assert await ending(old) == (grpc.StatusCode.FAILED_PRECONDITION, "WARD_NOT_CURRENT")


async def test_a_parcel_is_answered_whole(land: LandServiceAsyncStub, made: list[ParcelRecord]) -> None:
    home = made[9]
    parcel = (await land.GetParcel(pb.GetParcelRequest(parcel_id=home.parcel_id))).parcel
    assert (parcel.address.ward.code, parcel.address.detail) == (home.ward, home.address)
    assert (parcel.area_dm2, parcel.holder_number.value) == (home.area_dm2, home.holder)


async def test_an_unknown_parcel_is_refused(land: LandServiceAsyncStub) -> None:
    request = pb.GetParcelRequest(parcel_id="99999-001-0001")
    assert await ending(land.GetParcel(request)) == (grpc.StatusCode.NOT_FOUND, "PARCEL_UNKNOWN")
