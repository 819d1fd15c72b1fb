"""Logs at their loudest say nothing of a person: not of a birth, not when a database refuses a row and quotes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import bus.exchange  # noqa: F401  # isort: skip - before anything that imports gRPC

import psycopg
import pytest
from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate
from vn.portal.v1 import portal_pb2 as pb
from vn.portal.v1.portal_pb2_grpc import PortalServiceStub

from adapters.administrative.table import UnitTable
from adapters.population.generate import DEFAULT_SEED
from adapters.portal.sample import Family, Kind, families
from tests.adapters.services import PEOPLE, Services
from tests.adapters.test_portal import Met, birth, home, meeting, told


@pytest.fixture(scope="module")
def found(table: UnitTable) -> Iterator[Family]:
    """Families that no other test takes, from the beginning."""
    return (family for family in families(table, DEFAULT_SEED, PEOPLE) if family.kind is Kind.GRANTED)


@pytest.fixture
async def portal(services: Services) -> AsyncIterator[Met]:
    async with meeting(services) as channel:
        yield Met(PortalServiceStub(channel), services.socket)


def sayings(family: Family, request: pb.RegisterBirthRequest) -> set[str]:
    """What names these people, or says where they live."""
    people, child = (family.mother, family.father), request.child_name
    names = {f"{one.name.family} {one.name.middle} {one.name.given}" for one in people}
    names |= {f"{child.family} {child.middle} {child.given}", child.middle}
    told = names | {one.number for one in people} | {one.address for one in people} | {request.birth_notice_number}
    return {each for each in told if each}


def said_in(services: Services, texts: set[str]) -> set[str]:
    """Which of them stand in a log, as they are or as an escape writes them."""
    logs = b"".join(log.read_bytes() for log in services.logs.values())
    assert b"DEBUG:" in logs  # they are loud
    ways = {text: (text, ascii(text)[1:-1], repr(text.encode())[2:-1]) for text in texts}
    return {text for text, written in ways.items() if any(each.encode() in logs for each in written)}


async def test_birth_leaves_nothing_of_its_people_in_any_log(
    portal: Met, services: Services, found: Iterator[Family]
) -> None:
    family = next(found)
    request = birth(family)
    result = (await told(portal, request))[-1].result
    certificate = BirthCertificate.FromString((home(services) / result.certificate_file).read_bytes())
    issued = {certificate.child_number.value, certificate.registration_number}
    assert said_in(services, sayings(family, request) | issued) == set()


@pytest.mark.parametrize(("name", "row"), [("civilstatus", "birth"), ("population", "person"), ("store", "record")])
async def test_row_that_a_database_refuses_and_quotes_is_not_quoted_by_anybody_else(
    portal: Met, services: Services, found: Iterator[Family], name: str, row: str
) -> None:
    family = next(found)
    request = birth(family)
    with psycopg.connect(services.databases[name], autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {row} ADD CONSTRAINT never CHECK (1 = 2) NOT VALID")
        try:
            events = await told(portal, request)
        finally:
            connection.execute(f"ALTER TABLE {row} DROP CONSTRAINT never")
    assert events[-1].HasField("refused") is (name != "store")  # the certificate waits, and the portal for it
    heard = sayings(family, request)
    assert [text for text in heard if text.encode() in b"".join(each.SerializeToString() for each in events)] == []
    assert said_in(services, heard) == set()
