"""SQL in every text of every request: refused by a rule of the contract, or compared and stored as the text it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

import bus.exchange  # noqa: F401  # isort: skip - before anything that imports gRPC

import grpc
import psycopg
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from vn.business.v1 import business_pb2
from vn.business.v1.business_pb2_grpc import BusinessServiceStub
from vn.civilstatus.v1 import civilstatus_pb2
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub
from vn.common.v1.identifiers_pb2 import TaxCode
from vn.land.v1 import land_pb2
from vn.land.v1.land_pb2_grpc import LandServiceStub
from vn.population.v1 import population_pb2
from vn.population.v1.population_pb2_grpc import PopulationServiceStub
from vn.socialinsurance.v1 import socialinsurance_pb2
from vn.socialinsurance.v1.socialinsurance_pb2_grpc import SocialInsuranceServiceStub
from vn.store.v1 import store_pb2
from vn.store.v1.store_pb2_grpc import StoreServiceStub

from adapters.administrative.table import UnitTable
from adapters.business.register import Register as Enterprises
from adapters.land.register import Question, Register
from adapters.population.generate import DEFAULT_SEED
from adapters.portal.sample import families
from adapters.socialinsurance.book import Book, Decision, Entry, Kind
from bus.engines.postgres import Postgres
from tests.adapters.births import birth_fields, number, unit
from tests.adapters.conftest import AT_LEISURE, unheard
from tests.adapters.services import OFFICE, PEOPLE, PORTAL, Services, ending

HOSTILE = ("x'); DROP TABLE person, birth, record, decision, parcel, enterprise CASCADE; --", "' OR ''='", "%s%(size)s")
TOKEN = "AAAA"  # noqa: S105 - of a page
BROKEN = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DATA_LOSS)
TABLES = {
    "population": "person",
    "civilstatus": "birth",
    "business": "enterprise",
    "socialinsurance": "decision",
    "land": "parcel",
    "store": "record",
}


def texts(message: Message, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the texts of a filled message are, by the names of fields."""
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
            yield (*way, field.name)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated:
            yield from texts(value, (*way, field.name))


def changed(message: Any, way: tuple[str, ...], text: str) -> Any:
    found = type(message)()
    found.CopyFrom(message)
    inner = found
    for name in way[:-1]:
        inner = getattr(inner, name)
    setattr(inner, way[-1], text)
    return found


def rows(services: Services) -> dict[str, int]:
    found = {}
    for name, table in TABLES.items():
        with psycopg.connect(services.databases[name]) as connection:
            row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - a constant
            assert row is not None
            found[name] = int(row[0])
    return found


def asked_by_the_office(table: UnitTable) -> list[tuple[Any, str, Any]]:
    family = next(iter(families(table, DEFAULT_SEED, PEOPLE)))
    mother, ward = number(family.mother.number), unit(family.mother.ward)
    name = store_pb2.RecordName(record_type="vn.civilstatus.v1.BirthCertificate", source="gov/mof/tax", key="1")
    return [
        (
            BusinessServiceStub,
            "GetStatus",
            business_pb2.GetStatusRequest(tax_code=TaxCode(base="0100100008", branch="001")),
        ),
        (
            *(BusinessServiceStub, "FindEnterprises"),
            business_pb2.FindEnterprisesRequest(province_code="01", page_size=3, page_token=TOKEN),
        ),
        (LandServiceStub, "GetParcel", land_pb2.GetParcelRequest(parcel_id="00004-001-0001")),
        (LandServiceStub, "ProveResidence", land_pb2.ProveResidenceRequest(person_number=mother, ward=ward)),
        (PopulationServiceStub, "GetPerson", population_pb2.GetPersonRequest(person_number=mother)),
        (
            *(SocialInsuranceServiceStub, "IssueHealthCard"),
            socialinsurance_pb2.IssueHealthCardRequest(application_number="BHYT-1", child_number=mother),
        ),
        (
            *(SocialInsuranceServiceStub, "ClaimMaternityAllowance"),
            socialinsurance_pb2.ClaimMaternityAllowanceRequest(
                claim_number="TS-1", mother_number=mother, child_number=mother
            ),
        ),
        (StoreServiceStub, "Get", store_pb2.GetRequest(name=name)),
        (StoreServiceStub, "List", store_pb2.ListRequest(record_type=name.record_type, page_token=TOKEN)),
    ]


async def test_sql_in_any_text_over_the_bus_is_refused_or_compared(services: Services, table: UnitTable) -> None:
    before, tried = rows(services), 0
    async with services.client(OFFICE) as channel:
        office = channel.using(purpose="tax.audit", case_id="2026-13")
        for stub, method, request in asked_by_the_office(table):
            for way in texts(request):
                for text in HOSTILE:
                    ended = await ending(getattr(stub(office), method)(changed(request, way, text), timeout=20))
                    assert ended[0] not in BROKEN, (method, way, ended)
                    tried += 1
    assert tried > 30
    assert rows(services) == before


async def test_sql_in_any_text_of_a_birth_is_refused_or_registered_as_the_text_it_is(
    services: Services, table: UnitTable
) -> None:
    family = list(families(table, DEFAULT_SEED, PEOPLE))[-1]
    before, registered = rows(services), 0
    async with services.client(PORTAL) as channel:
        births = CivilStatusServiceStub(channel.using(purpose="civil.birth", case_id="2026-14"))
        for way in texts(civilstatus_pb2.RegisterBirthRequest(**birth_fields(family))):
            for text in HOSTILE:
                request = changed(civilstatus_pb2.RegisterBirthRequest(**birth_fields(family)), way, text)
                ended = await ending(births.RegisterBirth(request, timeout=20))
                assert ended[0] not in BROKEN, (way, ended)
                registered += ended[0] is grpc.StatusCode.OK
    after = rows(services)
    assert after["civilstatus"] == before["civilstatus"] + registered
    assert after["population"] == before["population"] + registered


@pytest.mark.parametrize("text", HOSTILE)
async def test_sql_behind_every_rule_is_a_value_to_the_registers(postgres_server: Postgres, text: str) -> None:
    """As if no contract had rules."""
    land = Register(postgres_server.database("test_land").dsn, DEFAULT_SEED, 100)
    book = Book(postgres_server.database("test_hostile_book").dsn, DEFAULT_SEED, 100)
    enterprises = Enterprises(postgres_server.database("test_hostile_business").dsn, DEFAULT_SEED, 100)
    async with land.running(unheard), book.running(unheard), enterprises.running(unheard):
        assert await land.parcel(AT_LEISURE, text) is None
        assert await land.residence(AT_LEISURE, Question(text, text, text, date(2026, 11, 22))) == ""
        assert await enterprises.enterprise(AT_LEISURE, text) is None
        assert (await enterprises.found(AT_LEISURE, text, 0, 5, "")).rows == ()
        assert await book.employment(AT_LEISURE, text) is None
        entry, decision = Entry(Kind.CARD, text, text, text), Decision(lambda _: text.encode(), text)
        assert await book.find(AT_LEISURE, entry) is None
        assert await book.enter(AT_LEISURE, entry, decision) == text.encode()
        assert await book.find(AT_LEISURE, entry) == text.encode()
