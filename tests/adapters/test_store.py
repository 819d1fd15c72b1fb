"""The central store, over the bus: who put a record stands in it, and nobody meets another's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from vn.common.v1.identifiers_pb2 import PersonNumber
from vn.common.v1.person_pb2 import PartialDate
from vn.socialinsurance.v1.socialinsurance_pb2 import HealthCard
from vn.store.v1 import store_pb2 as pb
from vn.store.v1.store_pb2_grpc import StoreServiceStub

from adapters.store.types import KEPT, BodyInvalid, parse_body, persons_in
from bus.exchange import ProviderError
from bus.exchange.channel import Channel
from tests.adapters.services import GOOD, OFFICE, PROVINCE, Services, answered, ending

if TYPE_CHECKING:
    from vn.store.v1.store_pb2_grpc import StoreServiceAsyncStub

CARD = "vn.socialinsurance.v1.HealthCard"
HOLDER = "001199012345"
PURPOSE = "insurance.birth"
UNKNOWN = (grpc.StatusCode.NOT_FOUND, "RECORD_UNKNOWN")
VERSION_TAKEN = (grpc.StatusCode.ALREADY_EXISTS, "VERSION_TAKEN")
_keys = count(1)


@pytest.fixture
async def province(services: Services) -> AsyncIterator[Channel]:
    async with services.client(PROVINCE) as channel:
        yield channel


@pytest.fixture
async def office(services: Services) -> AsyncIterator[Channel]:
    async with services.client(OFFICE) as channel:
        yield channel


def store(channel: Channel, purpose: str = PURPOSE) -> StoreServiceAsyncStub:
    return StoreServiceStub(channel.using(purpose=purpose, case_id="2026-7"))


def card(number: str = "7900000001", holder: str = HOLDER) -> bytes:
    born, last = PartialDate(year=2026, month=1, day=2), PartialDate(year=2032, month=1, day=1)
    return HealthCard(
        card_number=number,
        holder_number=PersonNumber(value=holder),
        valid_from=born,
        valid_until=last,
        issued_at_ms=1_700_000_000_000,
    ).SerializeToString()


def fresh_key() -> str:
    return f"CARD-{next(_keys):04d}"


def put(key: str, version: int = 1, body: bytes | None = None, **said: Any) -> pb.PutRequest:
    fields: dict[str, Any] = {"record_type": CARD, "subjects": [PersonNumber(value=HOLDER)]} | said
    return pb.PutRequest(key=key, version=version, body=card() if body is None else body, **fields)


def get(key: str, version: int = 0, source: str = PROVINCE, record_type: str = CARD) -> pb.GetRequest:
    return pb.GetRequest(name=pb.RecordName(record_type=record_type, source=source, key=key), version=version)


async def test_a_record_comes_back_as_it_was_put_with_the_verified_caller_as_its_source(province: Channel) -> None:
    key = fresh_key()
    kept = await store(province).Put(put(key))
    record = (await store(province).Get(get(key))).record
    assert (kept.name.source, kept.name.key) == (PROVINCE, key)
    assert (record.name, record.version, record.body) == (kept.name, 1, card())
    assert [person.value for person in record.subjects] == [HOLDER]
    assert record.provenance == kept.provenance
    assert (len(record.provenance.request_id), record.provenance.purpose) == (16, PURPOSE)


async def test_the_same_version_with_the_same_content_changes_nothing(province: Channel) -> None:
    key = fresh_key()
    first = await store(province).Put(put(key))
    assert await store(province).Put(put(key)) == first
    await store(province).Put(put(key, 5, card("7900000002")))
    assert await store(province).Put(put(key)) == first


async def test_of_two_contents_put_at_the_same_time_one_is_kept(province: Channel) -> None:
    key = fresh_key()
    bodies = [card(f"790000001{number}") for number in range(6)]
    ended = await asyncio.gather(*(ending(store(province).Put(put(key, 1, body))) for body in bodies))
    kept = (await store(province).Get(get(key))).record.body
    assert sorted(ended, key=str).count(VERSION_TAKEN) == 5
    assert ended[bodies.index(kept)] == GOOD


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_an_equal_or_older_version_with_other_content_is_ending(province: Channel, version: int) -> None:
    key = fresh_key()
    await store(province).Put(put(key, 1))
    await store(province).Put(put(key, 3, card("7900000002")))
    assert await ending(store(province).Put(put(key, version, card("7900000003")))) == VERSION_TAKEN
    newest = (await store(province).Get(get(key))).record
    assert (newest.version, newest.body) == (3, card("7900000002"))


async def test_old_versions_stay_as_they_were(province: Channel) -> None:
    key = fresh_key()
    for version in (1, 4):
        await store(province).Put(put(key, version, card(f"790000000{version}")))
    assert (await store(province).Get(get(key, 1))).record.body == card("7900000001")
    assert (await store(province).Get(get(key))).record.version == 4
    assert await ending(store(province).Get(get(key, 2))) == UNKNOWN


async def test_nobody_replaces_hides_or_finds_out_another_sources_record(province: Channel, office: Channel) -> None:
    key, certificate = fresh_key(), "vn.civilstatus.v1.BirthCertificate"
    await store(province).Put(put(key))
    # The office puts under the same key what the store keeps for it: both are there, each with its source.
    other = (grpc.StatusCode.FAILED_PRECONDITION, "PURPOSE_UNFIT")
    assert await ending(store(office, "civil.birth").Put(put(key))) == other
    assert (await store(province).Get(get(key))).record.name.source == PROVINCE
    assert await ending(store(office, "civil.birth").Get(get(key, source=OFFICE))) == UNKNOWN
    assert await ending(store(office, "civil.birth").Get(get(key, record_type=certificate))) == UNKNOWN


async def test_what_may_not_be_read_is_answered_like_what_is_not_there(province: Channel, office: Channel) -> None:
    key = fresh_key()
    await store(province).Put(put(key))
    for purpose in ("civil.birth", "tax.audit"):
        assert await ending(store(office, purpose).Get(get(key))) == UNKNOWN
        assert await ending(store(office, purpose).Get(get("CARD-NONE"))) == UNKNOWN
    # Its source reads it for any purpose that it was granted.
    assert (await store(province, "tax.audit").Get(get(key))).record.version == 1


async def test_a_list_is_the_callers_own_page_by_page_in_order(province: Channel, office: Channel) -> None:
    keys = [fresh_key() for _ in range(5)]
    for key in keys:
        await store(province).Put(put(key, 1))
        await store(province).Put(put(key, 2, card("7900000002")))
    found: list[pb.RecordEntry] = []
    token = ""
    while True:
        page = await store(province).List(pb.ListRequest(record_type=CARD, page_size=2, page_token=token))
        assert len(page.entries) <= 2
        found += page.entries
        token = page.next_page_token
        if not token:
            break
    names = [entry.name.key for entry in found]
    assert names == sorted(set(names))
    assert {entry.name.key: entry.version for entry in found if entry.name.key in keys} == dict.fromkeys(keys, 2)
    assert not (await store(office, "civil.birth").List(pb.ListRequest(record_type=CARD))).entries


async def test_a_page_token_of_another_caller_is_ending(province: Channel, office: Channel) -> None:
    for key in (fresh_key(), fresh_key()):
        await store(province).Put(put(key))
    token = (await store(province).List(pb.ListRequest(record_type=CARD, page_size=1))).next_page_token
    asked = pb.ListRequest(record_type=CARD, page_size=1, page_token=token)
    unusable = (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_UNUSABLE")
    assert await ending(store(office, "civil.birth").List(asked)) == unusable


@pytest.mark.parametrize(
    ("body", "subjects", "reason"),
    [
        (b"\xff", [HOLDER], "BODY_INVALID"),  # no message at all
        (card("79"), [HOLDER], "BODY_INVALID"),  # breaks a rule of its contract
        (card() + b"\xa2\x3f\x0c001199012345", [HOLDER], "BODY_INVALID"),  # a field that the contract does not know
        (card(), [], "SUBJECTS_DIFFER"),
        (card(), [HOLDER, "001199012346"], "SUBJECTS_DIFFER"),
        (card(), ["001199012346"], "SUBJECTS_DIFFER"),
    ],
)
async def test_a_body_is_what_its_type_says_and_hides_nobody(
    province: Channel, body: bytes, subjects: list[str], reason: str
) -> None:
    request = put(fresh_key(), body=body, subjects=[PersonNumber(value=value) for value in subjects])
    assert await ending(store(province).Put(request)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_type_that_is_not_kept_is_ending(province: Channel) -> None:
    request = put(fresh_key(), record_type="vn.population.v1.Person")
    assert await ending(store(province).Put(request)) == (grpc.StatusCode.FAILED_PRECONDITION, "TYPE_NOT_KEPT")


async def test_a_person_number_as_a_key_ends_before_the_store(province: Channel) -> None:
    with pytest.raises(ProviderError) as caught:
        await store(province).Put(put(HOLDER))
    assert caught.value.reason == "MESSAGE_INVALID"
    assert HOLDER not in str(caught.value)


def test_every_person_in_a_body_is_found_wherever_it_stands() -> None:
    kept = KEPT["vn.civilstatus.v1.BirthCertificate"]
    certificate: Any = kept.message()
    certificate.child_number.value = "001226000003"
    certificate.mother.person_number.value = "001199000002"
    certificate.father.person_number.value = "001099000001"
    assert persons_in(certificate) == ["001099000001", "001199000002", "001226000003"]
    with pytest.raises(BodyInvalid):
        parse_body(kept, certificate.SerializeToString())  # much of it is missing


async def test_records_outlive_the_process(services: Services, province: Channel) -> None:
    key = fresh_key()
    first = await store(province).Put(put(key))
    assert services.stop("store") == 0
    services.start("store")
    await answered(lambda: store(province).Get(get(key)))
    assert (await store(province).Get(get(key))).record.provenance == first.provenance
