"""Social insurance, over the bus: decided by what population and business say, once for each child."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import grpc
import pytest
from vn.common.v1.identifiers_pb2 import PersonNumber
from vn.population.v1.population_pb2 import RegisterNewbornRequest
from vn.population.v1.population_pb2_grpc import PopulationServiceStub
from vn.socialinsurance.v1 import socialinsurance_pb2 as pb
from vn.socialinsurance.v1.socialinsurance_pb2_grpc import SocialInsuranceServiceStub

from adapters.administrative.table import UnitTable
from adapters.business.generate import tax_codes
from adapters.population.generate import DEFAULT_SEED
from adapters.population.records import PersonRecord
from adapters.portal.sample import Family, Kind, families
from adapters.socialinsurance.generate import employment_of
from adapters.socialinsurance.rules import LEAST_MONTHS, LEAVE_MONTHS, ONE_OFF_VND, SIBLING_MONTHS
from bus.exchange.channel import Channel
from tests.adapters.births import birth_fields, fresh_notice, number, unit
from tests.adapters.services import GOOD, OFFICE, PEOPLE, Services, answered, ending

if TYPE_CHECKING:
    from vn.socialinsurance.v1.socialinsurance_pb2_grpc import SocialInsuranceServiceAsyncStub

PURPOSE = "tax.audit"  # the office's own; insurance asks others for its own
TAKEN = grpc.StatusCode.ALREADY_EXISTS


@pytest.fixture
async def office(services: Services) -> AsyncIterator[Channel]:
    async with services.client(OFFICE) as channel:
        yield channel


@pytest.fixture(scope="module")
def known(table: UnitTable) -> dict[Kind, list[Family]]:
    found: dict[Kind, list[Family]] = {kind: [] for kind in Kind}
    for family in families(table, DEFAULT_SEED, PEOPLE):
        found[family.kind].append(family)
    return found


def insurance(office: Channel) -> SocialInsuranceServiceAsyncStub:
    return SocialInsuranceServiceStub(office.using(purpose=PURPOSE, case_id="2026-9"))


async def newborn(office: Channel, family: Family) -> PersonNumber:
    """A child of theirs that population knows."""
    fields = birth_fields(family)
    request = RegisterNewbornRequest(
        birth_notice_number=fields["birth_notice_number"],
        name=fields["child_name"],
        birth_date=fields["birth_date"],
        sex=fields["child_sex"],
        registration_ward=unit(family.mother.ward),
        mother_number=fields["mother_number"],
        father_number=fields["father_number"],
    )
    return (
        await PopulationServiceStub(office.using(purpose=PURPOSE, case_id="2026-9")).RegisterNewborn(request)
    ).person_number


def application(child: PersonNumber, notice: str = "") -> pb.IssueHealthCardRequest:
    return pb.IssueHealthCardRequest(application_number=f"BHYT-{notice or fresh_notice()}", child_number=child)


def claim(mother: str, child: PersonNumber, notice: str = "") -> pb.ClaimMaternityAllowanceRequest:
    return pb.ClaimMaternityAllowanceRequest(
        claim_number=f"TS-{notice or fresh_notice()}", mother_number=number(mother), child_number=child
    )


async def test_a_newborn_gets_one_card_however_often_it_is_asked_for(
    office: Channel, known: dict[Kind, list[Family]]
) -> None:
    child = await newborn(office, known[Kind.GRANTED][0])
    request = application(child)
    card = (await insurance(office).IssueHealthCard(request)).card
    assert card.holder_number == child
    assert (card.valid_until.year - card.valid_from.year) in (5, 6)  # the day before the sixth birthday
    assert (await insurance(office).IssueHealthCard(request)).card == card
    other = insurance(office).IssueHealthCard(application(child))
    assert await ending(other) == (TAKEN, "CHILD_DECIDED")


async def test_applications_at_the_same_time_come_to_one_card(office: Channel, known: dict[Kind, list[Family]]) -> None:
    child = await newborn(office, known[Kind.GRANTED][10])
    races = [application(child, f"BV-RACE-{number}") for number in range(4)]
    ended = await asyncio.gather(*(ending(insurance(office).IssueHealthCard(request)) for request in races * 2))
    won = [request for request, how in zip(races * 2, ended, strict=True) if how == GOOD]
    assert len(won) == 2
    assert won[0] == won[1]
    assert ended.count((TAKEN, "CHILD_DECIDED")) == 6


async def test_an_application_number_is_for_one_child(office: Channel, known: dict[Kind, list[Family]]) -> None:
    one, other = [await newborn(office, family) for family in known[Kind.GRANTED][1:3]]
    await insurance(office).IssueHealthCard(application(one, "BV-ONCE-01"))
    again = insurance(office).IssueHealthCard(application(other, "BV-ONCE-01"))
    assert await ending(again) == (TAKEN, "NUMBER_CONFLICT")


async def test_two_children_never_have_one_number(office: Channel, known: dict[Kind, list[Family]]) -> None:
    children = [await newborn(office, family) for family in known[Kind.GRANTED][3:5]]
    cards = [(await insurance(office).IssueHealthCard(application(child))).card for child in children]
    assert len({card.card_number for card in cards}) == 2


async def test_who_is_no_living_child_below_six_gets_no_card(office: Channel, people: list[PersonRecord]) -> None:
    grown = next(person for person in people if person.birthday.day and person.birthday.year < 2015)
    dead = next(person for person in people[:PEOPLE] if not person.alive)
    unfit = (grpc.StatusCode.FAILED_PRECONDITION, "CHILD_UNFIT")
    for person in (grown, dead):
        assert await ending(insurance(office).IssueHealthCard(application(number(person.number)))) == unfit
    unknown = insurance(office).IssueHealthCard(application(number("096399999999")))
    assert await ending(unknown) == (grpc.StatusCode.FAILED_PRECONDITION, "CHILD_UNKNOWN")


async def test_an_allowance_is_decided_once_by_what_was_contributed(
    office: Channel, known: dict[Kind, list[Family]]
) -> None:
    family = known[Kind.GRANTED][12]
    employment = employment_of(family.mother, tax_codes(DEFAULT_SEED, PEOPLE), DEFAULT_SEED)
    assert employment is not None
    child = await newborn(office, family)
    request = claim(family.mother.number, child)
    allowance = (await insurance(office).ClaimMaternityAllowance(request)).allowance
    assert allowance.employer.base == employment.employer
    assert allowance.amount_vnd == LEAVE_MONTHS * employment.salary_vnd + ONE_OFF_VND
    assert (await insurance(office).ClaimMaternityAllowance(request)).allowance == allowance
    other = insurance(office).ClaimMaternityAllowance(claim(family.mother.number, child))
    assert await ending(other) == (TAKEN, "CHILD_DECIDED")
    request.mother_number.value = known[Kind.GRANTED][6].mother.number
    assert await ending(insurance(office).ClaimMaternityAllowance(request)) == (TAKEN, "NUMBER_CONFLICT")


async def test_twins_claimed_for_at_once_pay_one_leave_and_what_a_second_child_adds(
    office: Channel, known: dict[Kind, list[Family]]
) -> None:
    family = known[Kind.GRANTED][11]
    twins = [await newborn(office, family) for _ in range(2)]
    claims = [claim(family.mother.number, child) for child in twins]
    answers = await asyncio.gather(*(insurance(office).ClaimMaternityAllowance(each) for each in claims))
    assert sorted(answer.allowance.leave_months for answer in answers) == [SIBLING_MONTHS, LEAVE_MONTHS]
    again = [await insurance(office).ClaimMaternityAllowance(each) for each in claims]
    assert again == answers


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Kind.EMPLOYER_NOT_OPERATING, "EMPLOYER_NOT_OPERATING"), (Kind.NOT_INSURED, "NOT_INSURED")],
)
async def test_no_allowance_without_contributions_to_an_employer_in_operation(
    office: Channel, known: dict[Kind, list[Family]], kind: Kind, reason: str
) -> None:
    family = known[kind][0]
    child = await newborn(office, family)
    asked = insurance(office).ClaimMaternityAllowance(claim(family.mother.number, child))
    assert await ending(asked) == (grpc.StatusCode.FAILED_PRECONDITION, reason)


async def test_no_allowance_for_a_child_that_is_no_newborn(
    office: Channel, people: list[PersonRecord], known: dict[Kind, list[Family]]
) -> None:
    insured = {family.mother.number for family in known[Kind.GRANTED]}
    grown = next(person for person in people if person.mother in insured and person.birthday.year < 2020)
    asked = insurance(office).ClaimMaternityAllowance(claim(grown.mother, number(grown.number)))
    assert await ending(asked) == (grpc.StatusCode.FAILED_PRECONDITION, "CLAIM_LATE")


async def test_nobody_claims_for_another_mothers_child(office: Channel, known: dict[Kind, list[Family]]) -> None:
    one, other = known[Kind.GRANTED][7:9]
    child = await newborn(office, one)
    asked = insurance(office).ClaimMaternityAllowance(claim(other.mother.number, child))
    assert await ending(asked) == (grpc.StatusCode.FAILED_PRECONDITION, "NOT_THE_MOTHER")


async def test_an_employment_is_that_of_the_seed(office: Channel, people: list[PersonRecord]) -> None:
    codes = tax_codes(DEFAULT_SEED, PEOPLE)
    have = {person.number: employment_of(person, codes, DEFAULT_SEED) for person in people[:PEOPLE]}
    employed = next(found for found in have.values() if found and found.months >= LEAST_MONTHS)
    asked = pb.GetEmploymentRequest(person_number=number(employed.person))
    found = (await insurance(office).GetEmployment(asked)).employment
    assert (found.employer.base, found.contribution_months) == (employed.employer, employed.months)
    nobody = next(person for person, found in have.items() if found is None)
    none = insurance(office).GetEmployment(pb.GetEmploymentRequest(person_number=number(nobody)))
    assert await ending(none) == (grpc.StatusCode.NOT_FOUND, "EMPLOYMENT_UNKNOWN")


async def test_a_silent_register_is_told_and_the_repetition_decides_once(
    services: Services, office: Channel, known: dict[Kind, list[Family]]
) -> None:
    family = known[Kind.GRANTED][9]
    request = claim(family.mother.number, await newborn(office, family))
    assert services.stop("business") == 0
    asked = insurance(office).ClaimMaternityAllowance(request, timeout=20)
    assert await ending(asked) == (grpc.StatusCode.ABORTED, "REGISTER_SILENT")
    services.start("business")
    await answered(lambda: insurance(office).ClaimMaternityAllowance(request, timeout=20))
