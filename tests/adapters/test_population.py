"""The register: synthetic and the same for a seed; answers no more than was asked; one number for one birth."""

from __future__ import annotations

import asyncio
import itertools
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import protovalidate
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_FEMALE, SEX_MALE, PartialDate, PersonName
from vn.population.v1 import population_pb2 as pb
from vn.population.v1.population_pb2_grpc import PopulationServiceStub, add_PopulationServiceServicer_to_server

from adapters.administrative.table import CURRENT_LIST, OLD_LIST, UnitTable
from adapters.caller import Caller
from adapters.population import sample
from adapters.population.generate import generate
from adapters.population.records import Name, PersonRecord, person_number
from adapters.population.service import Population
from adapters.population.store import Notice, NoticeConflict, NoticeElsewhere, NumbersExhausted, PersonStore
from adapters.runtime import CannotStart
from bus.engines.postgres_database import Database
from tests.adapters.conftest import AT_LEISURE, unheard

if TYPE_CHECKING:
    from vn.population.v1.population_pb2_grpc import PopulationServiceAsyncStub

    from tests.adapters.conftest import Serve

Couple = tuple[PersonRecord, PersonRecord]
OFFICE, OTHER_OFFICE = "gov/moj/civil-status", "gov/hanoi/civil-status"
ALL_FIELDS = [field.name for field in pb.Person.DESCRIPTOR.fields]


# The generator


def test_same_seed_gives_the_same_people_and_another_seed_others(table: UnitTable) -> None:
    once, again, other = (list(generate(table, seed, 500, 2025)) for seed in (1, 1, 2))
    assert once == again
    assert {person.number for person in once}.isdisjoint(person.number for person in other)


def test_people_are_of_a_known_make(people: list[PersonRecord]) -> None:
    """Pinned: a demonstration may name a person of the default seed."""
    assert people[0].number == "015065787507"


def test_ten_thousand_people_with_unique_numbers_that_tell_the_truth(people: list[PersonRecord]) -> None:
    assert len({person.number for person in people}) == len(people) == 10_000
    for person in people:
        protovalidate.validate(PersonNumber(value=person.number))
        assert int(person.number[4:6]) == person.birthday.year % 100
        assert int(person.number[3]) == (person.birthday.year - 1900) // 100 * 2 + person.female


def test_everybody_lives_in_a_current_ward(people: list[PersonRecord], table: UnitTable) -> None:
    assert {len(table.unit(CURRENT_LIST, person.ward).code) for person in people} == {5}
    assert len({person.ward for person in people}) > 2_000


def test_parents_are_in_the_register_and_can_be_parents(people: list[PersonRecord]) -> None:
    by_number = {person.number: person for person in people}
    children = [person for person in people if person.mother or person.father]
    assert len(children) > 2_000
    for child in children:
        for number, female in ((child.mother, True), (child.father, False)):
            if number:
                assert by_number[number].female is female
                assert child.birthday.year - by_number[number].birthday.year >= 15


def test_sample_names_couples_and_wards_that_are_in_the_registers(
    people: list[PersonRecord], table: UnitTable, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample.main(["--couples", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["synthetic"] is True
    known = {person.number for person in people}
    assert {each[who]["person_number"] for each in told["couples"] for who in ("mother", "father")} <= known
    for name, whole in (("old_ward", True), ("split_ward", False)):
        ward = table.unit(told[name]["code_list_version"], told[name]["code"])
        assert (len(table.successors(ward)) == 1) is whole


# The store


def child_of(couple: Couple, serial: int) -> PersonRecord:
    return replace(couple[0], number=person_number("01", 2026, True, serial), mother=couple[0].number)


async def test_notice_entered_twice_keeps_its_number(store: PersonStore, couple: Couple) -> None:
    draws = map(child_of, itertools.repeat(couple), itertools.count())

    async def enter(notice: str, content: bytes) -> str:
        return await store.enter_newborn(AT_LEISURE, Notice(notice, content, OFFICE), lambda: next(draws))

    async def find(notice: str, content: bytes) -> str | None:
        return await store.number_for(AT_LEISURE, Notice(notice, content, OFFICE))

    first = await enter("BV-00001", b"content")
    assert await enter("BV-00001", b"content") == first
    assert await find("BV-00001", b"content") == first
    for ask in (find, enter):
        with pytest.raises(NoticeConflict):
            await ask("BV-00001", b"other content")


async def test_number_in_use_is_never_given_again(store: PersonStore, couple: Couple) -> None:
    draws = iter([1, 1, 1, 2])

    def draw() -> PersonRecord:
        return child_of(couple, next(draws))

    first = await store.enter_newborn(AT_LEISURE, Notice("BV-00001", b"a", OFFICE), draw)
    assert await store.enter_newborn(AT_LEISURE, Notice("BV-00002", b"b", OFFICE), draw) != first
    with pytest.raises(NumbersExhausted):
        await store.enter_newborn(AT_LEISURE, Notice("BV-00003", b"c", OFFICE), lambda: child_of(couple, 1))
    assert await store.number_for(AT_LEISURE, Notice("BV-00003", b"c", OFFICE)) is None


async def test_newborn_survives_a_restart_and_half_a_transaction_does_not(
    database: Database, people: list[PersonRecord], couple: Couple
) -> None:
    first = PersonStore(database.dsn, {"seed": "1"}, lambda: people[:100])
    async with first.running(unheard):
        number = await first.enter_newborn(AT_LEISURE, Notice("BV-00001", b"a", OFFICE), lambda: child_of(couple, 1))
        with pytest.raises(ZeroDivisionError):
            await first.enter_newborn(AT_LEISURE, Notice("BV-00002", b"b", OFFICE), lambda: child_of(couple, 1 // 0))
    second = PersonStore(database.dsn, {"seed": "1"}, lambda: pytest.fail("filled twice"))
    async with second.running(unheard):
        assert await second.person(AT_LEISURE, number) == child_of(couple, 1)
        assert await second.number_for(AT_LEISURE, Notice("BV-00002", b"b", OFFICE)) is None


async def test_database_of_other_people_is_not_started_with(database: Database, people: list[PersonRecord]) -> None:
    async with PersonStore(database.dsn, {"seed": "1", "people": "3"}, lambda: people[:3]).running(unheard):
        pass
    for other in ({"seed": "2", "people": "3"}, {"seed": "1", "people": "4"}):
        with pytest.raises(CannotStart, match="holds people 3, seed 1, not people"):
            async with PersonStore(database.dsn, other, lambda: people[:3]).running(unheard):
                pass


async def test_notice_belongs_to_the_registrar_that_entered_it(store: PersonStore, couple: Couple) -> None:
    def draw() -> PersonRecord:
        return child_of(couple, 1)

    await store.enter_newborn(AT_LEISURE, Notice("BV-00001", b"a", OFFICE), draw)
    for content in (b"a", b"b"):  # another one does not learn whether it says the same
        elsewhere = Notice("BV-00001", content, OTHER_OFFICE)
        with pytest.raises(NoticeElsewhere):
            await store.number_for(AT_LEISURE, elsewhere)
        with pytest.raises(NoticeElsewhere):
            await store.enter_newborn(AT_LEISURE, elsewhere, draw)


async def test_notice_from_before_registrars_were_kept_gets_no_second_certificate(
    database: Database, people: list[PersonRecord], couple: Couple
) -> None:
    async def once() -> str:
        store = PersonStore(database.dsn, {"seed": "1"}, lambda: people[:1])
        async with store.running(unheard):
            return await store.enter_newborn(AT_LEISURE, Notice("BV-00001", b"a", OFFICE), lambda: child_of(couple, 1))

    await once()
    with database.connect() as connection:  # as the step before left it
        connection.execute("ALTER TABLE notice DROP COLUMN registrar")
        connection.execute("UPDATE schema_steps SET taken = 1")
    with pytest.raises(NoticeElsewhere):
        await once()


# The service


@pytest.fixture
def serials() -> Iterator[int]:
    return itertools.count(500)


@pytest.fixture
def registrar() -> list[str]:
    """The last one is who calls."""
    return [OFFICE]


@pytest.fixture
async def population(
    loopback: Serve, store: PersonStore, table: UnitTable, serials: Iterator[int], registrar: list[str]
) -> PopulationServiceAsyncStub:
    servicer = Population(store, table, lambda: next(serials), lambda: Caller(registrar[-1], "civil.birth", bytes(16)))
    channel = await loopback((add_PopulationServiceServicer_to_server, servicer))
    return PopulationServiceStub(channel)


def number(value: str) -> PersonNumber:
    return PersonNumber(value=value)


def birth(couple: Couple, **changes: object) -> pb.RegisterNewbornRequest:
    request = pb.RegisterNewbornRequest(
        birth_notice_number="BV-HN-000017",
        name=PersonName(family="Hồ", middle="Gia", given="An"),
        birth_date=PartialDate(year=2026, month=11, day=3),
        sex=SEX_FEMALE,
        registration_ward=AdministrativeUnitCode(code_list_version=CURRENT_LIST, code="00004"),
        mother_number=number(couple[0].number),
        father_number=number(couple[1].number),
    )
    for field, value in changes.items():
        request.ClearField(field)  # type: ignore[arg-type]
        if value is not None:
            request.MergeFrom(pb.RegisterNewbornRequest(**{field: value}))  # type: ignore[arg-type]
    return request


async def refused(call: Callable[[], grpc.aio.UnaryUnaryCall]) -> tuple[grpc.StatusCode, str]:  # type: ignore[type-arg]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call()
    return error.value.code(), (error.value.details() or "").partition(":")[0]


async def test_only_the_fields_asked_for_are_answered(population: PopulationServiceAsyncStub, couple: Couple) -> None:
    for wanted in (["name"], ["sex", "residence"], ALL_FIELDS):
        request = pb.GetPersonRequest(person_number=number(couple[0].number), read_mask=FieldMask(paths=wanted))
        protovalidate.validate(request)
        answer = await population.GetPerson(request, timeout=5)
        protovalidate.validate(answer)
        found = {field.name for field, _ in answer.person.ListFields()}
        assert found == set(wanted) - {"mother_number", "father_number"}


def test_mask_of_the_contract_names_every_field_of_a_person(couple: Couple) -> None:
    request = pb.GetPersonRequest(person_number=number(couple[0].number), read_mask=FieldMask(paths=ALL_FIELDS))
    protovalidate.validate(request)
    for wrong in ([], ["name", "name"], ["household"], ["name.given"], ["*"]):
        request.read_mask.paths[:] = wrong
        with pytest.raises(protovalidate.ValidationError):
            protovalidate.validate(request)


async def test_unknown_person_is_refused_without_a_word_about_them(population: PopulationServiceAsyncStub) -> None:
    request = pb.GetPersonRequest(person_number=number("001099000000"), read_mask=FieldMask(paths=["name"]))
    code, reason = await refused(lambda: population.GetPerson(request, timeout=5))
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "PERSON_UNKNOWN")


async def test_verification_says_yes_or_no_and_hides_who_exists(
    population: PopulationServiceAsyncStub, couple: Couple
) -> None:
    person = couple[0]

    async def matches(value: str, name: Name, day: int) -> bool:
        born = PartialDate(year=person.birthday.year, month=person.birthday.month, day=day)
        request = pb.VerifyPersonRequest(
            person_number=number(value),
            name=PersonName(family=name.family, middle=name.middle, given=name.given),
            birth_date=born,
        )
        return (await population.VerifyPerson(request, timeout=5)).matches

    decomposed = Name(*(unicodedata.normalize("NFD", part).upper() for part in _parts(person.name)))
    assert await matches(person.number, person.name, person.birthday.day)
    assert await matches(person.number, decomposed, person.birthday.day)
    assert not await matches(person.number, replace(person.name, given="Khác"), person.birthday.day)
    assert not await matches(person.number, person.name, person.birthday.day % 28 + 1)
    assert not await matches(person.number, person.name, 0)
    assert not await matches("001099000000", person.name, person.birthday.day)


def _parts(name: Name) -> tuple[str, str, str]:
    return name.family, name.middle, name.given


def notices(register: Database) -> int:
    with register.connect() as connection:
        row = connection.execute("SELECT count(*) FROM notice").fetchone()
    assert row is not None
    return int(row[0])


async def test_newborn_gets_a_number_of_the_province_and_joins_the_mother(
    population: PopulationServiceAsyncStub, store: PersonStore, couple: Couple
) -> None:
    answer = await population.RegisterNewborn(birth(couple), timeout=5)
    protovalidate.validate(answer)
    assert answer.person_number.value == "001326000500"
    child = await store.person(AT_LEISURE, answer.person_number.value)
    assert child is not None
    assert (child.mother, child.father) == (couple[0].number, couple[1].number)
    assert (child.ward, child.address) == (couple[0].ward, couple[0].address)


async def test_birth_told_twenty_times_at_once_is_one_child(
    population: PopulationServiceAsyncStub, couple: Couple
) -> None:
    answers = await asyncio.gather(*(population.RegisterNewborn(birth(couple), timeout=10) for _ in range(20)))
    assert len({answer.person_number.value for answer in answers}) == 1


async def test_same_notice_with_other_content_is_refused(
    population: PopulationServiceAsyncStub, couple: Couple
) -> None:
    await population.RegisterNewborn(birth(couple), timeout=5)
    other = birth(couple, sex=SEX_MALE)
    assert await refused(lambda: population.RegisterNewborn(other, timeout=5)) == (
        grpc.StatusCode.ALREADY_EXISTS,
        "NOTICE_CONFLICT",
    )


async def test_notice_of_another_registrar_is_refused(
    population: PopulationServiceAsyncStub, registrar: list[str], register: Database, couple: Couple
) -> None:
    await population.RegisterNewborn(birth(couple), timeout=5)
    registrar.append(OTHER_OFFICE)
    for request in (birth(couple), birth(couple, sex=SEX_MALE)):
        assert await refused(lambda request=request: population.RegisterNewborn(request, timeout=5)) == (  # type: ignore[misc]
            grpc.StatusCode.FAILED_PRECONDITION,
            "NOTICE_ELSEWHERE",
        )
    assert notices(register) == 1


async def test_newborn_that_cannot_be_is_refused(
    population: PopulationServiceAsyncStub, register: Database, couple: Couple
) -> None:
    mother, father = couple
    old_ward = AdministrativeUnitCode(code_list_version=OLD_LIST, code="00004")
    province = AdministrativeUnitCode(code_list_version=CURRENT_LIST, code="01")
    cases: list[tuple[pb.RegisterNewbornRequest, str]] = [
        (birth(couple, mother_number=number("001199000000")), "PARENT_UNKNOWN"),
        (birth(couple, mother_number=None, father_number=None), "PARENT_UNKNOWN"),
        (birth(couple, mother_number=number(father.number)), "PARENT_IMPOSSIBLE"),
        (birth(couple, father_number=number(mother.number)), "PARENT_IMPOSSIBLE"),
        (birth(couple, birth_date=PartialDate(year=mother.birthday.year + 11, month=1, day=1)), "PARENT_IMPOSSIBLE"),
        (birth(couple, registration_ward=old_ward), "WARD_NOT_CURRENT"),
        (birth(couple, registration_ward=province), "WARD_NOT_CURRENT"),
    ]
    for request, reason in cases:
        answer = await refused(lambda request=request: population.RegisterNewborn(request, timeout=5))  # type: ignore[misc]
        assert answer == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    assert notices(register) == 0
