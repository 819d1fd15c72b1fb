"""A birth is registered without papers, once, whatever happens in between; a split ward is asked back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc
import protovalidate
import pytest
from vn.administrative.v1.administrative_pb2_grpc import add_AdministrativeUnitServiceServicer_to_server
from vn.civilstatus.v1 import civilstatus_pb2 as pb
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub, add_CivilStatusServiceServicer_to_server
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_FEMALE, SEX_MALE, PartialDate, PersonName
from vn.population.v1 import population_pb2
from vn.population.v1.population_pb2_grpc import add_PopulationServiceServicer_to_server

from adapters.administrative.service import AdministrativeUnits
from adapters.administrative.table import NEW_LIST, OLD_LIST, UnitTable
from adapters.caller import Caller
from adapters.civilstatus.book import BirthBook, BirthEntry, NoticeConflict
from adapters.civilstatus.registers import Registers
from adapters.civilstatus.service import CivilStatus
from adapters.population.records import PersonRecord
from adapters.population.service import Population
from adapters.population.store import PersonStore
from adapters.sql import SqlStore
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database
from tests.adapters.conftest import AT_LEISURE, unheard

if TYPE_CHECKING:
    from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceAsyncStub

    from tests.adapters.conftest import Serve

Couple = tuple[PersonRecord, PersonRecord]
NOW = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)  # the 21st already in Viet Nam

CASE = "2026-0021"
OFFICE, PROVINCE = "gov/moj/civil-status", "gov/hanoi/civil-status"

SPLIT_WARD = AdministrativeUnitCode(code_list_version=OLD_LIST, code="00073")
OLD_WARD = AdministrativeUnitCode(code_list_version=OLD_LIST, code="00013")  # Phường Quán Thánh, today part of Ba Đình


class Hesitant(Population):
    """The real register behind a line that breaks: it does its work, and the answer is lost as often as told."""

    lost_answers = 0

    async def RegisterNewborn(self, request: population_pb2.RegisterNewbornRequest, context: Any) -> Any:
        answer = await super().RegisterNewborn(request, context)
        if self.lost_answers:
            self.lost_answers -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the line broke")
        return answer


@pytest.fixture(scope="session")
def used_book(postgres_server: Postgres) -> Database:
    return postgres_server.database("test_civilstatus")


@pytest.fixture
def pages(used_book: Database) -> Database:
    """An empty book."""
    with used_book.connect() as connection:
        if connection.execute("SELECT to_regclass('birth')").fetchone() != (None,):
            connection.execute("DELETE FROM outbox")
            connection.execute("DELETE FROM birth")
            connection.execute("DELETE FROM last_number")
    return used_book


@pytest.fixture
async def book(pages: Database) -> AsyncIterator[BirthBook]:
    book = BirthBook(pages.dsn, OFFICE)
    async with book.running(unheard):
        yield book


@pytest.fixture
def population(store: PersonStore, table: UnitTable) -> Hesitant:
    return register_for(OFFICE, store, table, count(700))


def register_for(office: str, store: PersonStore, table: UnitTable, serials: Iterator[int]) -> Hesitant:
    """The register, as one office reaches it: on the bus the office is the verified caller."""
    return Hesitant(store, table, lambda: next(serials), lambda: Caller(office, "civil.birth", bytes(16)))


Open = Callable[[BirthBook, Population], Awaitable["CivilStatusServiceAsyncStub"]]


@pytest.fixture
def opened(loopback: Serve, unit_store: SqlStore) -> Open:
    """Opens an office: its book, and the register as it reaches it."""

    async def office(book: BirthBook, population: Population) -> CivilStatusServiceAsyncStub:
        registers = await loopback(
            (add_AdministrativeUnitServiceServicer_to_server, AdministrativeUnits(unit_store)),
            (add_PopulationServiceServicer_to_server, population),
        )
        servicer = CivilStatus(book, Registers.on(registers), lambda: CASE, lambda _: nullcontext(), lambda: NOW)
        return CivilStatusServiceStub(await loopback((add_CivilStatusServiceServicer_to_server, servicer)))

    return office


@pytest.fixture
async def civil_status(opened: Open, book: BirthBook, population: Population) -> CivilStatusServiceAsyncStub:
    return await opened(book, population)


@pytest.fixture
async def province(
    opened: Open, database: Database, store: PersonStore, table: UnitTable
) -> AsyncIterator[CivilStatusServiceAsyncStub]:
    """The same contract at another office, with a book of its own."""
    book = BirthBook(database.dsn, PROVINCE)
    async with book.running(unheard):
        yield await opened(book, register_for(PROVINCE, store, table, count(900)))


def birth(couple: Couple, ward: AdministrativeUnitCode = OLD_WARD, notice: str = "BV-HN-000021") -> Any:
    request = pb.RegisterBirthRequest(
        birth_notice_number=notice,
        child_name=PersonName(family="Hồ", middle="Gia", given="An"),
        child_sex=SEX_FEMALE,
        birth_date=PartialDate(year=2026, month=11, day=21),
        birth_ward=ward,
        mother_number=PersonNumber(value=couple[0].number),
        father_number=PersonNumber(value=couple[1].number),
    )
    protovalidate.validate(request)
    return request


async def refused(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), (error.value.details() or "").partition(":")[0]


def newborns(register: Database) -> int:
    with register.connect() as connection:
        row = connection.execute("SELECT count(*) FROM notice").fetchone()
    assert row is not None
    return int(row[0])


async def test_birth_with_an_old_ward_code_is_registered_in_todays_ward(
    civil_status: CivilStatusServiceAsyncStub, store: PersonStore, couple: Couple
) -> None:
    answer = await civil_status.RegisterBirth(birth(couple), timeout=10)
    protovalidate.validate(answer)
    certificate = answer.certificate
    assert certificate.birth_ward.name == "Phường Ba Đình"
    assert certificate.birth_ward.code.code_list_version == NEW_LIST
    assert certificate.registration_number == "gov.moj.civil-status:00004-2026-000001"
    assert certificate.child_number.value == "001326000700"
    assert certificate.mother.name.given == couple[0].name.given
    assert certificate.father.person_number.value == couple[1].number
    child = await store.person(AT_LEISURE, "001326000700")
    assert child is not None
    assert child.mother == couple[0].number

    request = pb.GetBirthCertificateRequest(registration_number="gov.moj.civil-status:00004-2026-000001")
    assert (await civil_status.GetBirthCertificate(request, timeout=5)).certificate == certificate


async def test_split_ward_is_asked_back_and_nothing_is_stored(
    civil_status: CivilStatusServiceAsyncStub, register: Database, couple: Couple
) -> None:
    answer = await civil_status.RegisterBirth(birth(couple, SPLIT_WARD), timeout=10)
    protovalidate.validate(answer)
    assert answer.WhichOneof("outcome") == "ward_question"
    assert answer.ward_question.asked.name == "Phường Cửa Nam"
    choices = answer.ward_question.choices
    assert [choice.code.code for choice in choices] == ["00004", "00070", "00082", "00226"]
    assert newborns(register) == 0

    chosen = await civil_status.RegisterBirth(birth(couple, choices[2].code), timeout=10)
    assert chosen.certificate.birth_ward == choices[2]


async def test_birth_told_again_is_the_same_certificate(
    civil_status: CivilStatusServiceAsyncStub, register: Database, couple: Couple
) -> None:
    first = await civil_status.RegisterBirth(birth(couple), timeout=10)
    assert await civil_status.RegisterBirth(birth(couple), timeout=10) == first
    assert newborns(register) == 1


async def test_notice_at_two_offices_is_one_child_with_one_certificate(
    civil_status: CivilStatusServiceAsyncStub,
    province: CivilStatusServiceAsyncStub,
    register: Database,
    couple: Couple,
) -> None:
    first = await civil_status.RegisterBirth(birth(couple), timeout=10)
    other = birth(couple)
    other.child_name.given = "Bình"
    for request in (birth(couple), other):
        assert await refused(province.RegisterBirth(request, timeout=10)) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "NOTICE_ELSEWHERE",
        )
    assert newborns(register) == 1
    assert await civil_status.RegisterBirth(birth(couple), timeout=10) == first


async def test_notice_at_two_offices_at_once_is_one_child_with_one_certificate(
    civil_status: CivilStatusServiceAsyncStub,
    province: CivilStatusServiceAsyncStub,
    register: Database,
    couple: Couple,
) -> None:
    offices = [civil_status, province] * 5
    answers = await asyncio.gather(
        *(office.RegisterBirth(birth(couple), timeout=20) for office in offices), return_exceptions=True
    )
    issued = {each.certificate.registration_number for each in answers if isinstance(each, pb.RegisterBirthResponse)}
    told = {each.details().partition(":")[0] for each in answers if isinstance(each, grpc.aio.AioRpcError)}  # type: ignore[union-attr]
    assert (len(issued), told, newborns(register)) == (1, {"NOTICE_ELSEWHERE"}, 1)


async def test_numbers_of_two_offices_differ_in_the_same_ward_and_year(
    civil_status: CivilStatusServiceAsyncStub, province: CivilStatusServiceAsyncStub, couple: Couple
) -> None:
    numbers = []
    for office, notice in ((civil_status, "BV-HN-000021"), (province, "BV-HN-000022")):
        answer = await office.RegisterBirth(birth(couple, notice=notice), timeout=10)
        protovalidate.validate(answer)
        numbers.append(answer.certificate.registration_number)
    assert numbers == ["gov.moj.civil-status:00004-2026-000001", "gov.hanoi.civil-status:00004-2026-000001"]
    asked = pb.GetBirthCertificateRequest(registration_number=numbers[0])
    assert (await refused(province.GetBirthCertificate(asked, timeout=5)))[1] == "REGISTRATION_UNKNOWN"


async def test_birth_told_ten_times_at_once_is_one_entry(
    civil_status: CivilStatusServiceAsyncStub, register: Database, couple: Couple
) -> None:
    answers = await asyncio.gather(*(civil_status.RegisterBirth(birth(couple), timeout=20) for _ in range(10)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert newborns(register) == 1


async def test_answer_lost_after_the_number_was_given_does_not_make_a_second_child(
    civil_status: CivilStatusServiceAsyncStub, population: Hesitant, register: Database, couple: Couple
) -> None:
    population.lost_answers = 1
    assert await refused(civil_status.RegisterBirth(birth(couple), timeout=10)) == (
        grpc.StatusCode.ABORTED,
        "REGISTER_SILENT",
    )
    assert newborns(register) == 1
    answer = await civil_status.RegisterBirth(birth(couple), timeout=10)
    assert answer.certificate.child_number.value == "001326000700"
    assert newborns(register) == 1


async def test_same_notice_with_another_child_is_refused(
    civil_status: CivilStatusServiceAsyncStub, couple: Couple
) -> None:
    await civil_status.RegisterBirth(birth(couple), timeout=10)
    other = birth(couple)
    other.child_sex = SEX_MALE
    assert await refused(civil_status.RegisterBirth(other, timeout=10)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "NOTICE_CONFLICT",
    )


async def test_notice_that_only_population_knows_with_another_content_is_refused(
    civil_status: CivilStatusServiceAsyncStub, population: Hesitant, couple: Couple
) -> None:
    population.lost_answers = 1
    await refused(civil_status.RegisterBirth(birth(couple), timeout=10))
    other = birth(couple)
    other.child_name.given = "Bình"
    assert (await refused(civil_status.RegisterBirth(other, timeout=10)))[1] == "NOTICE_CONFLICT"


async def test_birth_that_cannot_be_registered_is_refused_with_its_reason(
    civil_status: CivilStatusServiceAsyncStub, register: Database, couple: Couple
) -> None:
    def changed(**fields: Any) -> Any:
        request = birth(couple)
        for field, value in fields.items():
            getattr(request, field).CopyFrom(value)
        return request

    nobody = PersonNumber(value="001199000000")
    tomorrow = PartialDate(year=2026, month=11, day=22)
    province = AdministrativeUnitCode(code_list_version=NEW_LIST, code="01")
    district = AdministrativeUnitCode(code_list_version=OLD_LIST, code="001")
    no_ward = AdministrativeUnitCode(code_list_version=OLD_LIST, code="99999")
    cases = [
        (changed(mother_number=nobody), "PARENT_UNKNOWN"),
        (changed(father_number=nobody), "PARENT_UNKNOWN"),
        (changed(mother_number=PersonNumber(value=couple[1].number)), "PARENT_IMPOSSIBLE"),
        (changed(birth_date=tomorrow), "BIRTH_IN_FUTURE"),
        (changed(birth_ward=province), "WARD_NEEDED"),
        (changed(birth_ward=district), "WARD_NEEDED"),
        (changed(birth_ward=no_ward), "WARD_UNKNOWN"),
    ]
    for request, reason in cases:
        answer = await refused(civil_status.RegisterBirth(request, timeout=10))
        assert answer == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert newborns(register) == 0


async def test_island_district_without_wards_is_a_place_to_be_born(
    civil_status: CivilStatusServiceAsyncStub, couple: Couple
) -> None:
    island = AdministrativeUnitCode(code_list_version=OLD_LIST, code="755")
    answer = await civil_status.RegisterBirth(birth(couple, island), timeout=10)
    assert answer.certificate.birth_ward.name == "Đặc khu Côn Đảo"


async def test_child_of_one_known_parent(civil_status: CivilStatusServiceAsyncStub, couple: Couple) -> None:
    request = birth(couple)
    request.ClearField("father_number")
    certificate = (await civil_status.RegisterBirth(request, timeout=10)).certificate
    assert not certificate.HasField("father")
    assert certificate.HasField("mother")


async def test_unknown_registration_is_refused(civil_status: CivilStatusServiceAsyncStub) -> None:
    for number in ("gov.moj.civil-status:00004-2026-999999", "00004-2026-000001"):
        request = pb.GetBirthCertificateRequest(registration_number=number)
        assert await refused(civil_status.GetBirthCertificate(request, timeout=5)) == (
            grpc.StatusCode.NOT_FOUND,
            "REGISTRATION_UNKNOWN",
        )


# The book


def entry(notice: str, content: bytes = b"a", ward: str = "00004") -> BirthEntry:
    return BirthEntry(notice, content, ward, 2026)


async def test_numbers_of_a_ward_have_no_gap_even_after_a_failure(book: BirthBook) -> None:
    def fails(_: str) -> bytes:
        raise ZeroDivisionError

    assert await book.enter(AT_LEISURE, entry("N1"), str.encode) == b"gov.moj.civil-status:00004-2026-000001"
    with pytest.raises(ZeroDivisionError):
        await book.enter(AT_LEISURE, entry("N2"), fails)
    assert await book.enter(AT_LEISURE, entry("N3"), str.encode) == b"gov.moj.civil-status:00004-2026-000002"
    assert (
        await book.enter(AT_LEISURE, entry("N4", ward="00070"), str.encode) == b"gov.moj.civil-status:00070-2026-000001"
    )


async def test_numbers_of_a_ward_have_no_gap_when_many_are_entered_at_once(book: BirthBook) -> None:
    numbers = await asyncio.gather(*(book.enter(AT_LEISURE, entry(f"N{n}"), str.encode) for n in range(20)))
    assert sorted(numbers) == [b"gov.moj.civil-status:00004-2026-%06d" % n for n in range(1, 21)]


async def test_entry_survives_a_restart(pages: Database) -> None:
    first = BirthBook(pages.dsn, OFFICE)
    async with first.running(unheard):
        await first.enter(AT_LEISURE, entry("N1"), str.encode)
    second = BirthBook(pages.dsn, OFFICE)
    async with second.running(unheard):
        assert await second.find(AT_LEISURE, "N1", b"a") == b"gov.moj.civil-status:00004-2026-000001"
        assert (
            await second.certificate(AT_LEISURE, "gov.moj.civil-status:00004-2026-000001")
            == b"gov.moj.civil-status:00004-2026-000001"
        )
        with pytest.raises(NoticeConflict):
            await second.find(AT_LEISURE, "N1", b"b")


async def test_entries_from_before_offices_were_named_keep_their_numbers(database: Database) -> None:
    before = BirthBook(database.dsn, "")
    async with before.running(unheard):
        await before.enter(AT_LEISURE, entry("N1"), str.encode)
    with database.connect() as connection:  # as the step before left it
        connection.execute("ALTER TABLE birth DROP COLUMN office")
        connection.execute("UPDATE schema_steps SET taken = 2")
    book = BirthBook(database.dsn, OFFICE)
    async with book.running(unheard):
        assert await book.enter(AT_LEISURE, entry("N1"), str.encode) == b"00004-2026-000001"
        assert await book.certificate(AT_LEISURE, "00004-2026-000001") == b"00004-2026-000001"
        assert await book.enter(AT_LEISURE, entry("N2"), str.encode) == b"gov.moj.civil-status:00004-2026-000002"
