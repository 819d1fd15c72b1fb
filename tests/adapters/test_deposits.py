"""Every certificate gets to the central store, once, however long the store is away and whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from vn.administrative.v1.administrative_pb2 import UNIT_LEVEL_WARD, AdministrativeUnit
from vn.civilstatus.v1.civilstatus_pb2 import BirthCertificate, Parent
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber
from vn.common.v1.person_pb2 import SEX_MALE, PartialDate, PersonName
from vn.store.v1.store_pb2_grpc import StoreServiceStub, add_StoreServiceServicer_to_server

from adapters.caller import Caller
from adapters.civilstatus.book import BirthBook, BirthEntry
from adapters.civilstatus.deposits import RECORD_TYPE, Deposits
from adapters.civilstatus.outbox import take
from adapters.store.records import Name, Records
from adapters.store.service import Store
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database
from tests.adapters.conftest import AT_LEISURE, unheard

if TYPE_CHECKING:
    from tests.adapters.conftest import Serve

SOURCE = "gov/moj/civil-status"
NUMBER = "00004-2026-000001"
CAP_S = 60.0


class Leaving(Store):
    """The real store, which is away as often as it is told."""

    away = 0
    why = grpc.StatusCode.UNAVAILABLE
    asked = 0

    async def Put(self, request: Any, context: Any) -> Any:
        self.asked += 1
        if self.away:
            self.away -= 1
            await context.abort(self.why, "the line broke")
        return await super().Put(request, context)


@pytest.fixture(scope="module")
def kept(postgres_server: Postgres) -> Database:
    return postgres_server.database("test_deposits_store")


@pytest.fixture
async def records(kept: Database) -> AsyncIterator[Records]:
    records = Records(kept.dsn)
    async with records.running(unheard):
        yield records


@pytest.fixture
def store(records: Records) -> Leaving:
    return Leaving(records, lambda: Caller(SOURCE, "civil.birth", bytes(16)), lambda: datetime.now(UTC))


@asynccontextmanager
async def bringing(book: BirthBook, store: Leaving, loopback: Serve, cases: list[str]) -> AsyncIterator[None]:
    """Civil status without its servicer."""

    def scope(case_id: str) -> AbstractContextManager[None]:
        cases.append(case_id)
        return nullcontext()

    channel = await loopback((add_StoreServiceServicer_to_server, store))
    async with Deposits(book, StoreServiceStub(channel), scope).running(unheard):
        yield


def certificate(number: str) -> bytes:
    name = PersonName(family="Hồ", middle="Gia", given="An")
    code = AdministrativeUnitCode(code_list_version="gso-2025-07", code="00004")
    return BirthCertificate(
        registration_number=number,
        child_number=PersonNumber(value="001226000700"),
        child_name=name,
        child_sex=SEX_MALE,
        birth_date=PartialDate(year=2026, month=11, day=21),
        birth_ward=AdministrativeUnit(
            code=code, name="Phường Ba Đình", level=UNIT_LEVEL_WARD, parent_code="01", province_code="01"
        ),
        mother=Parent(person_number=PersonNumber(value="001199000001"), name=name),
        registered_at_ms=1,
    ).SerializeToString()


def waiting(database: Database) -> int:
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM outbox").fetchone()
    assert row is not None
    return int(row[0])


async def fall_due(database: Database) -> None:
    """Not on the event loop, which has to end the transactions that this may wait for."""

    def now() -> None:
        with database.connect() as connection:
            connection.execute("UPDATE outbox SET not_before = now()")

    await asyncio.to_thread(now)


async def until_brought(database: Database) -> None:
    async with asyncio.timeout(CAP_S):
        while waiting(database):  # noqa: ASYNC110 - what is waited for lies in the database
            await asyncio.sleep(0.05)


async def test_certificate_is_in_the_store_in_the_case_of_its_birth(
    database: Database, store: Leaving, records: Records, loopback: Serve
) -> None:
    book, cases = BirthBook(database.dsn, SOURCE), list[str]()
    async with bringing(book, store, loopback, cases):
        entry = BirthEntry("N1", b"a", "00004", 2026, case_id="2026-0117")
        issued = await book.enter(AT_LEISURE, entry, certificate)
        assert await book.enter(AT_LEISURE, entry, certificate) == issued
        await until_brought(database)
    assert (cases, store.asked) == (["2026-0117"], 1)
    found = await records.get(AT_LEISURE, Name(RECORD_TYPE, SOURCE, NUMBER), 0)
    assert found is not None
    assert (found.version, found.body) == (1, issued)


async def test_store_that_is_away_loses_no_certificate_and_stops_no_registration(
    database: Database, store: Leaving, loopback: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    book = BirthBook(database.dsn, SOURCE)
    store.away = 3
    async with bringing(book, store, loopback, []):
        for n in range(3):
            await book.enter(AT_LEISURE, BirthEntry(f"N{n}", b"a", "00005", 2026), certificate)
        async with asyncio.timeout(CAP_S):
            while waiting(database):
                await asyncio.sleep(0.05)
                await fall_due(database)
                book.entered.set()
    assert store.asked >= 3 + 3
    told = [each.getMessage() for each in caplog.records if each.name == "adapters.civilstatus.deposits"]
    assert len(told) == 2  # gone, back
    assert not any("00005" in each for each in told)


async def test_certificate_whose_bringer_died_is_brought_by_the_next_one(
    database: Database, store: Leaving, loopback: Serve
) -> None:
    first = BirthBook(database.dsn, SOURCE)
    async with first.running(unheard):
        await first.enter(AT_LEISURE, BirthEntry("N1", b"a", "00006", 2026), certificate)
        taken = await first.do(lambda connection: take(connection, 5))
        assert [each.serial for each in taken] == [1]
        # It is nobody else's until the one who took it has had time to bring it.
        assert await first.do(lambda connection: take(connection, 5)) == []
    await fall_due(database)
    async with bringing(BirthBook(database.dsn, SOURCE), store, loopback, []):
        await until_brought(database)
    assert store.asked == 1


async def test_certificate_that_arrived_without_a_word_may_be_brought_again(
    database: Database, store: Leaving, loopback: Serve
) -> None:
    book = BirthBook(database.dsn, SOURCE)
    async with bringing(book, store, loopback, []):
        await book.enter(AT_LEISURE, BirthEntry("N1", b"a", "00007", 2026, case_id="c"), certificate)
        await until_brought(database)
        with database.connect() as connection:
            connection.execute(
                "INSERT INTO outbox (ward, year, serial, case_id, traceparent) VALUES ('00007', 2026, 1, 'c', '')"
            )
        book.entered.set()
        await until_brought(database)
    assert store.asked == 2


async def test_births_from_before_there_was_a_store_are_brought_too(
    database: Database, store: Leaving, loopback: Serve
) -> None:
    book = BirthBook(database.dsn, SOURCE)
    async with book.running(unheard):
        await book.enter(AT_LEISURE, BirthEntry("N1", b"a", "00008", 2026), certificate)
    with database.connect() as connection:  # as the first release left it
        connection.execute("DROP TABLE outbox")
        connection.execute("ALTER TABLE birth DROP COLUMN office")
        connection.execute("UPDATE schema_steps SET taken = 1")
    async with bringing(BirthBook(database.dsn, SOURCE), store, loopback, []):
        await until_brought(database)
    assert store.asked == 1


async def test_certificate_that_nobody_can_read_keeps_no_other_from_the_store(
    database: Database, store: Leaving, loopback: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    book = BirthBook(database.dsn, SOURCE)
    async with bringing(book, store, loopback, []):
        await book.enter(AT_LEISURE, BirthEntry("N1", b"a", "00009", 2026), lambda _: b"\xff\xff torn")
        await book.enter(AT_LEISURE, BirthEntry("N2", b"a", "00009", 2026), certificate)
        async with asyncio.timeout(CAP_S):
            while waiting(database) > 1:  # noqa: ASYNC110 - what is waited for lies in the database
                await asyncio.sleep(0.05)
    assert store.asked == 1
    assert any("cannot be brought" in each.getMessage() for each in caplog.records)
    assert "torn" not in caplog.text
    with database.connect() as connection:
        connection.execute("DELETE FROM outbox")


async def test_certificate_that_the_store_refuses_for_ever_keeps_no_other_from_it(
    database: Database, store: Leaving, loopback: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def without_a_name(number: str) -> bytes:
        torn = BirthCertificate.FromString(certificate(number))
        torn.ClearField("child_name")
        return torn.SerializeToString()

    book = BirthBook(database.dsn, SOURCE)
    async with book.running(unheard):
        await book.enter(AT_LEISURE, BirthEntry("N1", b"a", "00011", 2026), without_a_name)
        for n in range(2, 5):
            await book.enter(AT_LEISURE, BirthEntry(f"N{n}", b"a", "00011", 2026), certificate)
    async with bringing(BirthBook(database.dsn, SOURCE), store, loopback, []):
        async with asyncio.timeout(CAP_S):
            while waiting(database) > 1:  # noqa: ASYNC110 - what is waited for lies in the database
                await asyncio.sleep(0.05)
    assert store.asked == 4
    (told,) = (each.getMessage() for each in caplog.records if each.name == "adapters.civilstatus.deposits")
    assert "INVALID_ARGUMENT" in told
    assert "00011" not in told
    with database.connect() as connection:
        left = connection.execute("SELECT serial, not_before > now() + interval '50 minutes' FROM outbox").fetchall()
    assert left == [(1, True)]


async def test_store_that_no_grant_opens_is_asked_by_one_certificate_for_all_and_told_of_once(
    database: Database, store: Leaving, loopback: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    def untried() -> int:
        with database.connect() as connection:
            row = connection.execute("SELECT count(*) FROM outbox WHERE attempts = 0").fetchone()
        assert row is not None
        return int(row[0])

    book = BirthBook(database.dsn, SOURCE)
    async with book.running(unheard):
        for n in range(8):
            await book.enter(AT_LEISURE, BirthEntry(f"N{n}", b"a", "00012", 2026), certificate)
    store.away, store.why = 1_000, grpc.StatusCode.PERMISSION_DENIED
    again = BirthBook(database.dsn, SOURCE)
    async with bringing(again, store, loopback, []):
        for left in (3, 2, 1):  # five together put back by the first one's refusal, then one for all at each look
            async with asyncio.timeout(CAP_S):
                while untried() > left:  # noqa: ASYNC110 - what is waited for lies in the database
                    await asyncio.sleep(0.05)
            again.entered.set()
        asked, tried = store.asked, 8 - untried()
    assert asked <= tried - 4
    (told,) = (each.getMessage() for each in caplog.records if each.name == "adapters.civilstatus.deposits")
    assert "ask its member for" in told


async def test_bringer_outlives_what_nobody_foresaw(database: Database, store: Leaving, loopback: Serve) -> None:
    book = BirthBook(database.dsn, SOURCE)
    async with bringing(book, store, loopback, []):
        with database.connect(autocommit=True) as connection:
            connection.execute("ALTER TABLE outbox RENAME TO outbox_away")
            for _ in range(3):
                book.entered.set()
                await asyncio.sleep(0.1)
            connection.execute("ALTER TABLE outbox_away RENAME TO outbox")
        await book.enter(AT_LEISURE, BirthEntry("N1", b"a", "00010", 2026), certificate)
        await until_brought(database)
    assert store.asked == 1
