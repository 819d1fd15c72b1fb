"""One birth, one trace: portal, broker, civil status, broker again, the registers; exported as users would have it."""

import asyncio
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from bus.exchange import exceptions, telemetry  # isort: skip - before gRPC

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from vn.civilstatus.v1.civilstatus_pb2_grpc import CivilStatusServiceStub

from adapters.population.records import PersonRecord
from bus.edge.endpoint import Endpoint
from bus.engines.postgres import Postgres
from tests.adapters.nation import ADAPTERS, PURPOSE, running
from tests.adapters.test_processes import CASE, birth, births
from tests.bus.engines.support import trace_collector

Couple = tuple[PersonRecord, PersonRecord]
CAP_S = 30.0
CIVIL = ADAPTERS["civilstatus"]
REGISTERS = (ADAPTERS["population"], ADAPTERS["administrative"], ADAPTERS["store"])
CALLS = ["ResolveUnit", "GetPerson", "GetPerson", "RegisterNewborn", "Put"]
STATEMENTS = [
    *("birth.by_notice", "birth.enter", "unit.resolved", "notice.by_number", "notice.enter", "record.put"),
    *["person.by_number"] * 4,  # the names of the parents, and later whether they can be parents
]
SPANS = 2 + 3 * len(CALLS) + len(STATEMENTS)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The portal's spans; it runs in this process."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer(telemetry.SCOPE))
    yield exporter
    provider.shutdown()


class Collected:
    """Spans by id, with the service that sent each, read from the collector until there are enough."""

    def __init__(self, received: "asyncio.Queue[ExportTraceServiceRequest]") -> None:
        self.received = received
        self.spans: dict[bytes, tuple[str, Span]] = {}
        self.raw = b""

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(CAP_S):
            while len(self.spans) < count:
                request = await self.received.get()
                self.raw += request.SerializeToString()
                for part in request.resource_spans:
                    told = {each.key: each.value.string_value for each in part.resource.attributes}
                    found = [span for scope in part.scope_spans for span in scope.spans]
                    self.spans.update({span.span_id: (told["service.name"], span) for span in found})

    def path_above(self, span: Span) -> list[str]:
        """Services of the spans above this one."""
        found = []
        while span.parent_span_id in self.spans:
            name, span = self.spans[span.parent_span_id]
            found.append(name)
        return found


async def test_birth_is_one_trace_through_every_process_and_a_refusal_says_why(
    tmp_path: Path, postgres_server: Postgres, couple: Couple, own: InMemorySpanExporter
) -> None:
    async with trace_collector() as (where, received), running(tmp_path, postgres_server, collector=where) as nation:
        collected = Collected(received)
        await births(nation).RegisterBirth(birth(couple), timeout=10)
        # A call is a span of the broker and one of its provider; those that civil status makes are its own, too.
        await collected.wait_for(SPANS)
        verify_one_trace(collected, own)

        civil = nation.instance.subsystem_id(CIVIL).spiffe_id
        elsewhere = nation.portal.using(
            purpose="tax.audit", case_id=CASE, official="officer-7", provider=civil, grant_id="grant-births"
        )
        with pytest.raises(exceptions.NoGrant):
            await CivilStatusServiceStub(elsewhere).RegisterBirth(birth(couple), timeout=10)
        await collected.wait_for(SPANS + 1)
    (refused,) = [span for _, span in collected.spans.values() if "NO_GRANT" in str(span.attributes)]
    assert {each.key: each.value.string_value for each in refused.attributes}["govbus.reason"] == "NO_GRANT"
    assert refused.parent_span_id == own.get_finished_spans()[-1].context.span_id.to_bytes(8)
    verify_nothing_personal(collected.raw, couple)


def verify_one_trace(collected: Collected, own: InMemorySpanExporter) -> None:
    (portal,) = own.get_finished_spans()
    assert {span.trace_id for _, span in collected.spans.values()} == {portal.context.trace_id.to_bytes(16)}
    statements = verify_statements(collected)
    asked = [span for name, span in collected.spans.values() if name in REGISTERS and span.span_id not in statements]
    assert sorted(span.name.rpartition("/")[2] for span in asked) == sorted(CALLS)
    for span in asked:
        # The broker, civil status as client and as provider, and the broker once more; above it the portal.
        assert collected.path_above(span) == ["govbus-broker", CIVIL, CIVIL, "govbus-broker"]
    named = [span for name, span in collected.spans.values() if name == "govbus-broker"]
    assert sorted(span.name.rpartition("/")[2] for span in named) == sorted([*CALLS, "RegisterBirth"])
    for _, span in collected.spans.values():
        if span.span_id in statements:
            continue
        # The id of the signed request: the same on all three sides of one call.
        ids = {each.key: each.value.string_value for each in span.attributes}
        assert len(bytes.fromhex(ids["govbus.request_id"])) == 16
    (first,) = [span for _, span in collected.spans.values() if span.parent_span_id not in collected.spans]
    assert first.parent_span_id == portal.context.span_id.to_bytes(8)


def verify_statements(collected: Collected) -> set[bytes]:
    """What was asked of databases, each below the call that it was asked for, at the same service; their ids."""
    found = [(name, span) for name, span in collected.spans.values() if "db.system.name" in str(span.attributes)]
    assert sorted(span.name for _, span in found) == sorted(STATEMENTS)
    for name, span in found:
        assert collected.path_above(span)[0] == name
    return {span.span_id for _, span in found}


def verify_nothing_personal(raw: bytes, couple: Couple) -> None:
    mother, father = couple
    said = ("Khôi", "BV-HN-000031", CASE, "officer-7", PURPOSE, "tax.audit")
    for secret in (mother.number, father.number, mother.name.given, father.name.given, *said):
        assert secret.encode() not in raw


async def test_collector_that_is_away_costs_no_call_and_no_adapter_its_end(
    tmp_path: Path, postgres_server: Postgres, couple: Couple
) -> None:
    async with running(tmp_path, postgres_server, collector=Endpoint("127.0.0.1", closed_port())) as nation:
        answered = await births(nation).RegisterBirth(birth(couple), timeout=10)
        assert answered.HasField("certificate")
        for name in ADAPTERS:
            assert await nation.stop(name) == 0


async def test_protocol_that_is_not_spoken_here_is_told_at_the_start(tmp_path: Path, postgres_server: Postgres) -> None:
    async with running(tmp_path, postgres_server) as nation:
        await nation.stop("administrative")
        config = nation.instance.config(ADAPTERS["administrative"])
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
        ran = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "adapters.administrative", "--config", str(config)),
            *("--database", str(nation.databases["administrative"])),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | told,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(ran.communicate(), CAP_S)
    assert ran.returncode == 1
    assert said == b"cannot start: OTEL_EXPORTER_OTLP_PROTOCOL is 'http/protobuf'; set it to grpc, or unset it\n"


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
