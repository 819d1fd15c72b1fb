"""A nation's traces in a real Jaeger, sent as its operator asked (`up --nation --otlp`): who called whom, down to the
statements; a refusal with its reason; what `govbus explain` makes of them; and that nobody can be found in them."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from vn.civilstatus.v1.civilstatus_pb2 import RegisterBirthRequest
from vn.common.v1.person_pb2 import PersonName

from adapters.administrative.table import load_table
from adapters.population.generate import DEFAULT_SEED
from adapters.portal.sample import Family, Kind, families
from bus.evidence.trace import Span, read_trace, to_lines
from bus.nation.members import BIRTHS, CIVIL_STATUS, HANOI, POPULATION, PORTAL, STORE, UNITS
from tests.adapters.births import birth_fields
from tests.bus.nation.conftest import PEOPLE, LiveNation
from tests.support.jaeger import CAP_S, MISSING, Jaeger
from tools.trace_figure import to_svg

METHOD = "vn.civilstatus.v1.CivilStatusService/RegisterBirth"
BROKER = "govbus-broker"
CASE, OFFICIAL, CHILD = "JAEGER-4711", "desk-0815", "Khôi"
SAID = ("call", "--as", PORTAL, "--case", CASE, "--official", OFFICIAL, "--provider", CIVIL_STATUS)


@pytest.fixture
def traces(jaeger: Jaeger | None, tell: Callable[[str], None]) -> Iterator[Jaeger]:
    if jaeger is None:
        tell(f"jaeger: skipped: {MISSING}")
        pytest.skip(MISSING)
    yield jaeger
    tell("jaeger: ran")


def a_family() -> Family:
    return next(one for one in families(load_table(), DEFAULT_SEED, PEOPLE) if one.kind is Kind.GRANTED)


def birth() -> str:
    fields = birth_fields(a_family()) | {"child_name": PersonName(family="Trần", middle="Minh", given=CHILD)}
    return json_format.MessageToJson(RegisterBirthRequest(**fields))


def shown(jaeger: Jaeger, trace_id: str, enough: Callable[[list[Span]], bool]) -> list[Span]:
    """The trace, once it has that and each span's parent: every process sends its spans in its own time."""
    end = time.monotonic() + CAP_S
    while True:
        found = (jaeger.ask(f"/api/traces/{trace_id}") or {}).get("data") or []
        spans = read_trace(found[0]) if found else []
        if enough(spans) and len(roots(spans)) == 1:
            return spans
        assert time.monotonic() < end, to_lines(spans)
        time.sleep(0.2)


def roots(spans: list[Span]) -> list[Span]:
    known = {one.id for one in spans}
    return [one for one in spans if one.parent not in known]


def above(spans: list[Span], span: Span) -> list[str]:
    """The services of the spans above."""
    by_id, found = {one.id: one for one in spans}, []
    while span.parent in by_id:
        span = by_id[span.parent]
        found.append(span.service)
    return found


def statements(spans: list[Span], service: str) -> list[Span]:
    return [one for one in spans if one.service == service and "db.system.name" in one.tags]


def test_birth_by_command_is_one_trace_from_the_client_to_every_statement(nation: LiveNation, traces: Jaeger) -> None:
    told = nation.commands.json(*SAID, "--purpose", BIRTHS, METHOD, birth())
    assert told["status"] == "OK"
    # Civil status brings its certificate into the store in its own time, under the call that made it.
    held = (POPULATION, UNITS, CIVIL_STATUS, STORE)
    spans = shown(traces, told["trace_id"], lambda found: all(statements(found, name) for name in held))
    (root,) = roots(spans)
    assert (root.service, root.tags["span.kind"]) == (PORTAL, "client")
    asked = [BROKER, CIVIL_STATUS, CIVIL_STATUS, BROKER, PORTAL]
    for register in (POPULATION, UNITS, STORE):
        for one in statements(spans, register):
            assert above(spans, one) == [register, *asked]
    own = statements(spans, CIVIL_STATUS)
    assert all(above(spans, one)[-3:] == asked[-3:] for one in own)
    first = [one.tags.get("govbus.request_id") for one in spans if len(above(spans, one)) < 3 and one not in own]
    assert first.count(told["call"]["request_id"]) == 3  # client, broker and provider
    verify_nobody(traces, told)
    verify_explained(nation, traces, told)
    keep_figure(spans)


def verify_nobody(jaeger: Jaeger, told: dict[str, Any]) -> None:
    """All that Jaeger has, of everybody."""
    family, given = a_family(), told["answer"]["certificate"]
    numbers = (family.mother.number, family.father.number, given["registrationNumber"], given["childNumber"]["value"])
    secrets = (*numbers, family.mother.name.given, CHILD, CASE, OFFICIAL, BIRTHS)
    services = jaeger.ask("/api/services")["data"]
    assert {PORTAL, CIVIL_STATUS, POPULATION, BROKER, "govbus-registry"} <= set(services)
    for name in services:
        everything = jaeger.ask(f"/api/traces?service={name.replace('/', '%2F')}&limit=1000")["data"]
        text = json.dumps(everything, ensure_ascii=False)
        assert [secret for secret in secrets if secret in text] == []
        # Members ask for a newer policy all the time, and wait for minutes: that is in no trace.
        assert "GetSnapshot" not in text


def verify_explained(nation: LiveNation, jaeger: Jaeger, told: dict[str, Any]) -> None:
    """By the request's id and by the trace's, the same."""
    named = told["call"]["request_id"]
    for given in (named, told["trace_id"]):
        found = nation.commands.json("explain", given, "--jaeger", jaeger.query)
        assert (found["request_id"], found["ended"]["as"]) == (named, "SERVED")
        assert found["trace"]["trace_id"] == told["trace_id"]
        services = [one["service"] for one in found["trace"]["spans"]]
        assert services[:3] == [PORTAL, BROKER, CIVIL_STATUS]
    text = nation.commands.run("explain", named, "--jaeger", jaeger.query).stdout
    assert f"spans of trace {told['trace_id']}" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_refusal_is_on_the_brokers_span_and_explained_for_the_operator(nation: LiveNation, traces: Jaeger) -> None:
    given = (*SAID, "--grant", "births-ministry", METHOD, birth())
    refused = nation.commands.json(*given, "--purpose", "tax.audit", status=3)
    spans = shown(traces, refused["trace_id"], lambda found: len(found) == 2)
    client, broker = sorted(spans, key=lambda one: one.start_us)
    assert (client.service, broker.service, broker.parent) == (PORTAL, BROKER, client.id)
    assert client.tags["govbus.reason"] == broker.tags["govbus.reason"] == "NO_GRANT"
    found = nation.commands.json("explain", refused["error"]["request_id"], "--jaeger", traces.query)
    assert "is for the purpose civil.birth, not for tax.audit" in found["ended"]["text"]
    assert [one["reason"] for one in found["trace"]["spans"]] == ["NO_GRANT", "NO_GRANT"]


def keep_figure(spans: list[Span]) -> None:
    """docs/tracing.md shows a trace that was: GOVBUS_TRACE_FIGURE names where this one is drawn."""
    drawn = to_svg(spans)
    assert drawn.count("<rect") >= len(spans)
    if target := os.environ.get("GOVBUS_TRACE_FIGURE"):
        Path(target).write_text(drawn, encoding="utf-8")


def test_birth_at_the_portal_is_one_trace_of_all_that_follows(nation: LiveNation, traces: Jaeger) -> None:
    nation.register_birth(HANOI)
    service = PORTAL.replace("/", "%2F")
    operation = "vn.portal.v1.PortalService%2FRegisterBirth"
    end = time.monotonic() + CAP_S
    while not (found := traces.ask(f"/api/traces?service={service}&operation={operation}&limit=1")["data"]):
        assert time.monotonic() < end
        time.sleep(0.2)
    spans = shown(
        traces, found[0]["traceID"], lambda have: {"gov/vss/insurance", HANOI, STORE} <= {one.service for one in have}
    )
    (root,) = roots(spans)
    assert (root.service, root.tags["span.kind"]) == (PORTAL, "server")
    calls = [one for one in spans if one.service == PORTAL and one.parent == root.id]
    assert {"RegisterBirth", "IssueHealthCard", "ClaimMaternityAllowance", "ProveResidence"} <= {
        one.name.rpartition("/")[2] for one in calls
    }
    assert all(above(spans, one)[-1] == PORTAL for one in spans if one is not root)
