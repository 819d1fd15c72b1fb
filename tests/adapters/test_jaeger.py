"""The trace of a birth in a real Jaeger: who called whom, down to the statements; a refusal with its reason."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bus.exchange import exceptions, telemetry  # isort: skip - before gRPC

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub

from adapters.population.records import PersonRecord
from bus.engines.postgres import Postgres
from bus.evidence.trace import Span, read_trace, to_lines
from tests.adapters.nation import ADAPTERS, PORTAL, running
from tests.adapters.test_processes import CASE, birth, births
from tests.adapters.test_traces import CIVIL, SPANS, verify_nothing_personal
from tests.support.jaeger import CAP_S, MISSING, Jaeger, find_jaeger, running_jaeger
from tools.trace_figure import to_svg

Couple = tuple[PersonRecord, PersonRecord]
POPULATION = ADAPTERS["population"]


@pytest.fixture
def jaeger(tmp_path: Path, tell: Callable[[str], None]) -> Iterator[Jaeger]:
    program = find_jaeger()
    if program is None:
        tell(f"jaeger: skipped: {MISSING}")
        pytest.skip(MISSING)
    with running_jaeger(program, tmp_path) as found:
        yield found
    tell("jaeger: ran")


@pytest.fixture
def portal_spans(jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The portal's spans go there too; it runs in this process."""
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: PORTAL}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"http://{jaeger.otlp}", insecure=True)))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer(telemetry.SCOPE))
    yield
    provider.shutdown()


async def shown(jaeger: Jaeger, enough: Callable[[list[Span]], bool]) -> list[Span]:
    """The portal's newest trace, once it is whole."""
    end = time.monotonic() + CAP_S
    while True:
        found = await asyncio.to_thread(jaeger.ask, f"/api/traces?service={PORTAL.replace('/', '%2F')}&limit=20")
        traces = [read_trace(one) for one in (found or {}).get("data") or []]
        for spans in traces:
            if enough(spans):
                return spans
        assert time.monotonic() < end, [to_lines(spans) for spans in traces]
        await asyncio.sleep(0.2)


@pytest.mark.usefixtures("portal_spans")
async def test_jaeger_shows_a_birth_from_the_portal_to_the_statements_and_why_a_call_was_refused(
    tmp_path: Path, postgres_server: Postgres, couple: Couple, jaeger: Jaeger
) -> None:
    async with running(tmp_path, postgres_server, collector=jaeger.otlp) as nation:
        await births(nation).RegisterBirth(birth(couple), timeout=30)
        spans = await shown(jaeger, lambda found: len(found) >= SPANS + 1)
        verify_parents(spans)

        civil = nation.instance.subsystem_id(CIVIL).spiffe_id
        elsewhere = nation.portal.using(
            purpose="tax.audit", case_id=CASE, official="officer-7", provider=civil, grant_id="grant-births"
        )
        with pytest.raises(exceptions.NoGrant):
            await CivilStatusServiceStub(elsewhere).RegisterBirth(birth(couple), timeout=30)
        refused = await shown(
            jaeger, lambda found: any("govbus.reason" in one.tags for one in found) and len(found) == 2
        )
    client, broker = sorted(refused, key=lambda one: one.start_us)
    assert (client.service, broker.service) == (PORTAL, "govbus-broker")
    assert broker.parent == client.id
    assert client.tags["govbus.reason"] == broker.tags["govbus.reason"] == "NO_GRANT"
    everything = await asyncio.to_thread(jaeger.ask, f"/api/traces?service={PORTAL.replace('/', '%2F')}&limit=20")
    verify_nothing_personal(json.dumps(everything, ensure_ascii=False).encode(), couple)
    keep_figure(spans)


def verify_parents(spans: list[Span]) -> None:
    by_id = {span.id: span for span in spans}

    def above(span: Span) -> list[str]:
        found = []
        while span.parent in by_id:
            span = by_id[span.parent]
            found.append(span.service)
        return found

    (root,) = [span for span in spans if span.parent not in by_id]
    assert root.service == PORTAL
    statements = [one for one in spans if one.service == POPULATION and "db.system.name" in one.tags]
    assert statements
    for one in statements:
        assert above(one) == [POPULATION, "govbus-broker", CIVIL, CIVIL, "govbus-broker", PORTAL]
    own = [one for one in spans if one.service == CIVIL and "db.system.name" in one.tags]
    assert own
    assert all(above(one)[-3:] == [CIVIL, "govbus-broker", PORTAL] for one in own)


def keep_figure(spans: list[Span]) -> None:
    """docs/tracing.md shows a trace that was: GOVBUS_TRACE_FIGURE names where this one is drawn."""
    drawn = to_svg(spans)
    assert drawn.count("<rect") >= len(spans)
    if target := os.environ.get("GOVBUS_TRACE_FIGURE"):
        Path(target).write_text(drawn, encoding="utf-8")
