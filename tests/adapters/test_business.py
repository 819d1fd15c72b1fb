"""The business register, over the bus: what was asked of an enterprise, and no more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import protovalidate
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from vn.business.v1 import business_pb2 as pb
from vn.business.v1.business_pb2_grpc import BusinessServiceStub
from vn.common.v1.identifiers_pb2 import TaxCode

from adapters.administrative.table import UnitTable
from adapters.business.generate import EnterpriseRecord, Status, generate
from adapters.population.generate import DEFAULT_SEED
from tests.adapters.services import OFFICE, PEOPLE, Services, ending

if TYPE_CHECKING:
    from vn.business.v1.business_pb2_grpc import BusinessServiceAsyncStub

UNKNOWN = (grpc.StatusCode.NOT_FOUND, "ENTERPRISE_UNKNOWN")


@pytest.fixture(scope="module")
def enterprises(table: UnitTable) -> list[EnterpriseRecord]:
    return list(generate(table, DEFAULT_SEED, PEOPLE))


@pytest.fixture
async def business(services: Services) -> AsyncIterator[BusinessServiceAsyncStub]:
    async with services.client(OFFICE) as channel:
        yield BusinessServiceStub(channel.using(purpose="tax.audit", case_id="2026-8"))


def asked(tax_code: str, *fields: str, branch: str = "") -> pb.GetEnterpriseRequest:
    return pb.GetEnterpriseRequest(tax_code=TaxCode(base=tax_code, branch=branch), read_mask=FieldMask(paths=fields))


def test_enterprises_of_a_seed_are_the_same_however_many_people(table: UnitTable) -> None:
    few, many = (list(generate(table, 7, people)) for people in (1_000, 2_000))
    assert (len(few), len(many)) == (80, 160)
    assert few == many[:80]
    assert len({each.tax_code for each in many}) == 160
    assert few[:5] != list(generate(table, 8, 1_000))[:5]


def test_every_tax_code_keeps_the_contracts_rule(table: UnitTable) -> None:
    for each in generate(table, 7, 3_000):
        protovalidate.validate(TaxCode(base=each.tax_code))


async def test_an_enterprise_is_answered_with_the_fields_asked_for(
    business: BusinessServiceAsyncStub, enterprises: list[EnterpriseRecord]
) -> None:
    one = enterprises[3]
    found = (await business.GetEnterprise(asked(one.tax_code, "name", "head_office"))).enterprise
    assert (found.name, found.head_office.ward.code, found.head_office.detail) == (one.name, one.ward, one.address)
    assert {field.name for field, _ in found.ListFields()} == {"name", "head_office"}


async def test_the_state_alone_is_answered_to_who_asks_for_it(
    business: BusinessServiceAsyncStub, enterprises: list[EnterpriseRecord]
) -> None:
    for status in Status:
        one = next(each for each in enterprises if each.status is status)
        answer = await business.GetStatus(pb.GetStatusRequest(tax_code=TaxCode(base=one.tax_code)))
        assert pb.EnterpriseStatus.Name(answer.status) == f"ENTERPRISE_STATUS_{status.name}"


async def test_an_unknown_tax_code_and_a_branch_are_refused(
    business: BusinessServiceAsyncStub, enterprises: list[EnterpriseRecord]
) -> None:
    known = {each.tax_code for each in enterprises}
    free = next(code for code in ("0100112437", "0101248141") if code not in known)
    assert await ending(business.GetEnterprise(asked(free, "name"))) == UNKNOWN
    assert await ending(business.GetStatus(pb.GetStatusRequest(tax_code=TaxCode(base=free)))) == UNKNOWN
    assert await ending(business.GetEnterprise(asked(enterprises[0].tax_code, "name", branch="001"))) == UNKNOWN


@pytest.mark.parametrize("status", [0, pb.ENTERPRISE_STATUS_OPERATING, pb.ENTERPRISE_STATUS_DISSOLVED])
async def test_a_search_finds_each_enterprise_once_page_by_page(
    business: BusinessServiceAsyncStub, enterprises: list[EnterpriseRecord], status: Any
) -> None:
    province = enterprises[0].province
    found: list[str] = []
    request = pb.FindEnterprisesRequest(province_code=province, status=status, page_size=3)
    while True:
        page = await business.FindEnterprises(request)
        assert len(page.enterprises) <= 3
        found += [each.tax_code.base for each in page.enterprises]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    meant = [each for each in enterprises if each.province == province and status in (0, each.status)]
    assert found == sorted(each.tax_code for each in meant)


async def test_a_page_token_of_another_search_is_refused(business: BusinessServiceAsyncStub) -> None:
    first = await business.FindEnterprises(pb.FindEnterprisesRequest(page_size=1))
    other = pb.FindEnterprisesRequest(page_size=1, province_code="01", page_token=first.next_page_token)
    assert await ending(business.FindEnterprises(other)) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_UNUSABLE")
