"""The land register, over the bus: a parcel for each household, and yes or no about where somebody lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.land.v1 import land_pb2 as pb
from vn.land.v1.land_pb2_grpc import LandServiceStub

from adapters.administrative.table import CURRENT_LIST, OLD_LIST
from adapters.land.generate import ParcelRecord, parcels
from adapters.land.register import WARDS_A_DAY, Question, Register, TooManyWards
from adapters.population.generate import DEFAULT_SEED
from adapters.population.records import PersonRecord
from bus.engines.postgres import Postgres
from tests.adapters.conftest import AT_LEISURE, unheard
from tests.adapters.services import OFFICE, PEOPLE, Services, answered, ending

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


async def test_who_tries_ward_after_ward_is_refused_and_not_told_by_which_one_the_person_lives(
    land: LandServiceAsyncStub, services: Services, made: list[ParcelRecord]
) -> None:
    home, another = made[7], made[8].residents[0]
    wards = [parcel.ward for parcel in made if parcel.ward != home.ward]
    wards = list(dict.fromkeys(wards))[: WARDS_A_DAY + 1]
    tried = (grpc.StatusCode.RESOURCE_EXHAUSTED, "WARDS_TRIED")
    for ward in wards[:WARDS_A_DAY]:
        assert not (await land.ProveResidence(asked(home.residents[0], ward))).registered
    assert await ending(land.ProveResidence(asked(home.residents[0], wards[-1]))) == tried
    assert await ending(land.ProveResidence(asked(home.residents[0], home.ward))) == tried  # no sixth try, right or not
    services.stop("land")
    services.start("land")
    await answered(lambda: land.ProveResidence(asked(another, wards[-1])))  # of another person it may ask
    assert (
        await ending(land.ProveResidence(asked(home.residents[0], home.ward))) == tried
    )  # and a restart forgets nothing
    assert not (await land.ProveResidence(asked(home.residents[0], wards[0]))).registered  # what it asked, again


async def test_wards_are_counted_for_each_caller_person_and_day(
    postgres_server: Postgres, made: list[ParcelRecord]
) -> None:
    database = postgres_server.database("test_land")
    register = Register(database.dsn, DEFAULT_SEED, 100)
    person, day = made[0].residents[0], date(2026, 11, 22)

    async def ask(ward: str, client: str = "gov/moj/portal", on: date = day) -> str:
        return await register.residence(AT_LEISURE, Question(client, person, ward, on))

    async with register.running(unheard):
        wrong = [f"9999{number}" for number in range(WARDS_A_DAY)]
        assert [await ask(ward) for ward in (*wrong, *wrong)] == [""] * (2 * WARDS_A_DAY)
        with pytest.raises(TooManyWards):
            await ask("99998")
        at_once = await asyncio.gather(*(ask(f"8888{n}", "gov/mof/tax") for n in range(9)), return_exceptions=True)
        assert sorted(map(repr, at_once)) == ["''"] * WARDS_A_DAY + ["TooManyWards()"] * (9 - WARDS_A_DAY)
        assert await ask("99998", on=day + timedelta(days=1)) == ""
    with database.connect() as connection:  # of former days nothing is kept
        assert connection.execute("SELECT DISTINCT day FROM asked").fetchall() == [(day + timedelta(days=1),)]


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
