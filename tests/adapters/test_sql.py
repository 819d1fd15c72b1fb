"""The SQL source on a real PostgreSQL: what it finds, what it refuses, and what never leaves it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator

from tests.adapters.licences import (  # isort: skip - before gRPC
    BY_DAY,
    BY_NUMBER,
    OF_WARD,
    SLOW,
    STATEMENTS,
    Asker,
    asking,
    fill,
    refused,
    sleeping,
    until,
)

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters.runtime import CannotStart
from adapters.sql import PagedStatement, SqlSource, Statement, transactions
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database
from tests.adapters.conftest import AT_LEISURE, unheard

BAD_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
HOSTILE = ("'; DROP TABLE licence; --", "%(number)s", "$1", "L-0001' OR '1'='1", "\\", "L-0001\n", "Ạ" * 4000)


@pytest.fixture(scope="module")
def filled(postgres_server: Postgres) -> Database:
    database = postgres_server.database("licences")
    fill(database)
    return database


@pytest.fixture
async def asker(filled: Database) -> AsyncIterator[Asker]:
    async with asking(SqlSource(*STATEMENTS, dsn=filled.dsn, connections=2)) as found:
        yield found


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(transactions, "_tracer", provider.get_tracer("source"))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


async def test_row_is_found_by_its_number_and_a_missing_one_is_none(asker: Asker) -> None:
    assert await asker.one(BY_NUMBER, number="L-0007") == {"number": "L-0007", "holder": "Công ty 7"}
    assert await asker.one(BY_NUMBER, number="L-9999") is None


@pytest.mark.parametrize("size", [1, 7, 125, 1_000_000])
async def test_pages_are_the_whole_in_order_and_end(asker: Asker, size: int) -> None:
    found: list[str] = []
    token, pages = "", 0
    while pages == 0 or token:
        page = await asker.page(OF_WARD, size, token, ward="00004")
        assert len(page["rows"]) <= size
        found += [row["number"] for row in page["rows"]]
        token, pages = page["next"], pages + 1
    assert found == [f"L-{n:04}" for n in range(2, 251, 2)]
    assert pages == -(-125 // size)


async def test_page_without_a_size_has_the_sources_own(asker: Asker) -> None:
    assert len((await asker.page(OF_WARD, 0, ward="00004"))["rows"]) == 100


async def test_pages_by_two_columns_lose_no_row_where_the_first_is_equal(asker: Asker) -> None:
    found: list[tuple[int, str]] = []
    token = ""
    while not found or token:
        page = await asker.page(BY_DAY, 40, token)
        found += [(row["issued"], row["number"]) for row in page["rows"]]
        token = page["next"]
    assert len(found) == 250
    assert found == sorted(set(found))


async def test_row_deleted_between_pages_hides_no_other(asker: Asker, filled: Database) -> None:
    with filled.connect(autocommit=True) as connection:
        connection.execute(
            "INSERT INTO licence VALUES ('A-1', 'x', 'w', 1), ('A-2', 'x', 'w', 1), ('A-3', 'x', 'w', 1)"
        )
        first = await asker.page(OF_WARD, 1, ward="w")
        connection.execute("DELETE FROM licence WHERE number = 'A-1'")
        second = await asker.page(OF_WARD, 5, first["next"], ward="w")
        connection.execute("DELETE FROM licence WHERE ward = 'w'")
    assert [row["number"] for row in second["rows"]] == ["A-2", "A-3"]


async def test_row_entered_between_pages_repeats_no_other_and_is_seen_if_it_lies_ahead(
    asker: Asker, filled: Database
) -> None:
    with filled.connect(autocommit=True) as connection:
        connection.execute(
            "INSERT INTO licence VALUES ('A-2', 'x', 'w', 1), ('A-4', 'x', 'w', 1), ('A-6', 'x', 'w', 1)"
        )
        first = await asker.page(OF_WARD, 2, ward="w")
        connection.execute(
            "INSERT INTO licence VALUES ('A-1', 'x', 'w', 1), ('A-3', 'x', 'w', 1), ('A-5', 'x', 'w', 1)"
        )
        second = await asker.page(OF_WARD, 5, first["next"], ward="w")
        connection.execute("DELETE FROM licence WHERE ward = 'w'")
    assert [row["number"] for row in (*first["rows"], *second["rows"])] == ["A-2", "A-4", "A-5", "A-6"]


def sealed(name: str, values: dict[str, object], key: object, *, spaces: bool = False) -> str:
    """A token as anybody can make one up: the digest is right."""
    digest = hashlib.sha256(json.dumps([name, values, key], sort_keys=True).encode()).digest()[:16]
    written = json.dumps(key) if spaces else json.dumps(key, separators=(",", ":"))
    return base64.urlsafe_b64encode(digest + written.encode()).decode().rstrip("=")


async def test_hostile_tokens_are_refused_with_one_fixed_text(asker: Asker) -> None:
    day = await asker.page(BY_DAY, 3)
    good = day["next"]
    made_up = [
        sealed("licence.by_day", {}, key)
        for key in (
            [1],
            [1, "a", "b"],
            ["1", "a"],
            [1, 2],
            [True, "a"],
            [None, None],
            {"a": 1},
            7,
            [1 << 63, ""],
            [1.5, ""],
        )
    ]
    made_up += [sealed("licence.by_day", {}, [1, text]) for text in ("\0", "\ud800", "a" * 2000)]
    nested: object = []
    for _ in range(300):
        nested = [nested]
    changed = [good[:-1], good + "A", good + "=", good.swapcase(), "?" * 40, "Ạ" * 40, "A", "A" * 5_000]
    others = [
        (await asker.page(OF_WARD, 3, ward="00004"))["next"],
        sealed("licence.by_day", {}, [20200102, "L-0001"], spaces=True),
        sealed("licence.by_day", {}, nested),
        base64.urlsafe_b64encode(bytes(16) + b"[" * 700).decode().rstrip("="),
    ]
    for token in (*made_up, *changed, *others):
        assert await refused(asker.page(BY_DAY, 3, token)) == (BAD_ARGUMENT, "PAGE_UNUSABLE"), token[:80]
    assert len((await asker.page(BY_DAY, 3, good))["rows"]) == 3
    assert await refused(asker.page(OF_WARD, 3, others[0], ward="00070")) == (BAD_ARGUMENT, "PAGE_UNUSABLE")
    assert await refused(asker.page(OF_WARD, -1, ward="00004")) == (BAD_ARGUMENT, "PAGE_UNUSABLE")


async def test_what_looks_like_sql_is_compared_and_never_executed(asker: Asker, filled: Database) -> None:
    for number in HOSTILE:
        assert await asker.one(BY_NUMBER, number=number) is None
        assert await asker.page(OF_WARD, 5, ward=number) == {"rows": [], "next": ""}
    with filled.connect(autocommit=True) as connection:
        connection.execute("INSERT INTO licence VALUES (%s, 'x', 'y', 1)", (HOSTILE[0],))
        found = await asker.one(BY_NUMBER, number=HOSTILE[0])
        connection.execute("DELETE FROM licence WHERE ward = 'y'")
    assert found["number"] == HOSTILE[0]


async def test_value_that_no_column_can_hold_is_the_callers_fault(asker: Asker) -> None:
    assert await refused(asker.one(BY_NUMBER, number="L-\0")) == (BAD_ARGUMENT, "VALUE_UNUSABLE")
    assert await refused(asker.one(SLOW, pause="L-0001")) == (BAD_ARGUMENT, "VALUE_UNUSABLE")


async def test_slow_statement_is_ended_in_the_server_and_its_connection_serves_on(filled: Database) -> None:
    async with asking(SqlSource(*STATEMENTS, dsn=filled.dsn, connections=1, longest_s=1.0)) as asker:
        slow = grpc.StatusCode.DEADLINE_EXCEEDED
        assert await refused(asker.one(SLOW, pause=300)) == (slow, "DATABASE_SLOW")
        assert await asker.one(BY_NUMBER, number="L-0007")
        code, _ = await refused(asker.one(SLOW, 0.5, pause=300))  # shorter than the source's own limit
        assert code is slow
        await until(lambda: sleeping(filled) == 0)
        assert await asker.one(BY_NUMBER, number="L-0007")


async def test_caller_who_leaves_at_any_moment_leaves_his_answer_to_nobody_else(filled: Database) -> None:
    source = SqlSource(*STATEMENTS, dsn=filled.dsn, connections=1)

    async def asked(n: int) -> object:
        return await source.fetch_one(AT_LEISURE, BY_NUMBER, {"number": f"L-{n:04}"})

    async with source.running(unheard):
        for n in range(1, 121):
            leaving, staying = asyncio.create_task(asked(n)), asyncio.create_task(asked(n + 1))
            for _ in range(n % 40):
                await asyncio.sleep(0)
            leaving.cancel()
            assert await staying == {"number": f"L-{n + 1:04}", "holder": f"Công ty {n + 1}"}


async def test_statement_of_a_caller_who_left_is_ended_in_the_server(filled: Database) -> None:
    async with asking(SqlSource(*STATEMENTS, dsn=filled.dsn, connections=1)) as asker:
        leaving = asyncio.create_task(asker.one(SLOW, pause=300))
        await until(lambda: sleeping(filled) == 1)
        leaving.cancel()
        await until(lambda: sleeping(filled) == 0)
        assert await asker.one(BY_NUMBER, number="L-0007")


async def test_call_is_told_that_every_connection_is_taken(filled: Database) -> None:
    async with asking(SqlSource(*STATEMENTS, dsn=filled.dsn, connections=1)) as asker:
        taking = asyncio.create_task(asker.one(SLOW, pause=300))
        await until(lambda: sleeping(filled) == 1)
        assert await refused(asker.one(BY_NUMBER, number="L-0007")) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "DATABASE_BUSY",
        )
        taking.cancel()
        assert (await asyncio.gather(taking, return_exceptions=True))[0]
        await until(lambda: sleeping(filled) == 0)
        assert await asker.one(BY_NUMBER, number="L-0007")


async def test_statement_that_writes_is_refused_by_the_transaction(filled: Database) -> None:
    writes = Statement(
        "test.writes", "WITH gone AS (DELETE FROM licence RETURNING 1) SELECT count(*) AS gone FROM gone"
    )
    async with asking(SqlSource(writes, BY_NUMBER, dsn=filled.dsn), writes, BY_NUMBER) as asker:
        code, _ = await refused(asker.one(writes))
        assert code is grpc.StatusCode.UNKNOWN  # stock gRPC's word for an exception; the bus says PROVIDER_INTERNAL
        assert await asker.one(BY_NUMBER, number="L-0007")


async def test_column_changed_under_prepared_statements_fails_no_call(filled: Database) -> None:
    async with asking(SqlSource(*STATEMENTS, dsn=filled.dsn, connections=1)) as asker:
        await asker.one(BY_NUMBER, number="L-0007")
        with filled.connect(autocommit=True) as connection:
            connection.execute("ALTER TABLE licence ALTER COLUMN holder TYPE varchar(300)")
        assert (await asker.one(BY_NUMBER, number="L-0007"))["holder"] == "Công ty 7"


async def test_each_statement_is_a_span_below_its_call_and_tells_no_value(
    filled: Database, spans: InMemorySpanExporter
) -> None:
    quoting = Statement("test.quoting", "SELECT (%(number)s::text)::regclass::text AS name")  # its error has the value
    async with asking(SqlSource(BY_NUMBER, SLOW, quoting, dsn=filled.dsn), BY_NUMBER, SLOW, quoting) as asker:
        await asker.one(BY_NUMBER, number="L-0007")
        await refused(asker.one(SLOW, pause="L-0007"))
        await refused(asker.one(quoting, number="L-0007"))
    found = [span for span in spans.get_finished_spans() if span.name != "call"]
    calls = [span.context.span_id for span in spans.get_finished_spans() if span.name == "call"]
    assert [span.name for span in found] == ["licence.by_number", "test.slow", "test.quoting"]
    assert [span.parent and span.parent.span_id for span in found] == calls
    assert [dict(span.attributes or {}).get("error.type") for span in found] == [
        None,
        "VALUE_UNUSABLE",
        "UndefinedTable",
    ]
    told = "".join(span.to_json() for span in found).lower()  # PostgreSQL quotes what it did not know in lower case
    assert "l-0007" not in told
    assert "select" not in told


async def test_statement_that_the_server_does_not_understand_is_told_at_the_start(filled: Database) -> None:
    wrong = Statement("licence.wrong", "SELECT holdr FROM licence WHERE number = %(number)s")
    with pytest.raises(CannotStart, match=r"licence\.wrong: column \"holdr\" does not exist"):
        async with asking(SqlSource(wrong, dsn=filled.dsn)):
            pass


async def test_start_without_a_database_says_where_it_was_looked_for(filled: Database) -> None:
    with pytest.raises(CannotStart, match=r"no database: .*PGHOST") as told:
        async with asking(SqlSource(BY_NUMBER, dsn="host=/nowhere user=clerk password=open-sesame")):
            pass
    assert "open-sesame" not in str(told.value)


async def test_statement_that_was_not_declared_is_not_sent(asker: Asker, filled: Database) -> None:
    same_name = Statement(BY_NUMBER.name, "SELECT 'other' AS number")
    async with asking(SqlSource(BY_NUMBER, dsn=filled.dsn), same_name) as other:
        assert (await refused(other.one(same_name)))[0] is grpc.StatusCode.UNKNOWN


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT n FROM t WHERE n > %(after_n)s LIMIT %(size)s", "ORDER BY n"),
        ("SELECT n FROM t WHERE n > %(after_n)s ORDER BY m LIMIT %(size)s", "ORDER BY n"),
        ("SELECT n FROM t WHERE n > %(after_n)s ORDER BY n DESC LIMIT %(size)s", "ORDER BY n"),
        ("SELECT n FROM t WHERE n > %(after_n)s ORDER BY n", "ORDER BY n"),
        ("SELECT n FROM t ORDER BY n LIMIT %(size)s", "after_n"),
    ],
)
def test_paged_statement_that_could_lose_rows_is_refused_where_it_is_declared(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PagedStatement("t.paged", text, start={"n": 0})


@pytest.mark.parametrize("text", ["DELETE FROM t", "INSERT INTO t VALUES (1)", "", "SELECTED"])
def test_statement_that_is_no_select_is_refused_where_it_is_declared(text: str) -> None:
    with pytest.raises(ValueError, match="SELECT"):
        Statement("t.writes", text)
