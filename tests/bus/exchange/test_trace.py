"""One trace from the client's span through the provider's, with the refusal's reason on it and nothing personal."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.exchange import connect, exceptions, telemetry
from bus.exchange.errors import ProviderError
from tests.bus.exchange.world import BROKER, GET, PROVIDER, World, ask, running


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The runtime's spans. The SDK's provider goes to the runtime alone: OpenTelemetry's own is set once for ever."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer(telemetry.SCOPE))
    yield exporter
    provider.shutdown()


def by_kind(exporter: InMemorySpanExporter) -> dict[SpanKind, ReadableSpan]:
    return {span.kind: span for span in exporter.get_finished_spans()}


async def test_providers_span_is_a_child_of_the_clients(world: World, spans: InMemorySpanExporter) -> None:
    async with running(world) as bus:
        await bus.stub.GetUnit(ask())
    found = by_kind(spans)
    client, server = found[SpanKind.CLIENT], found[SpanKind.SERVER]
    assert client.name == server.name == GET[1:]
    assert server.parent is not None
    assert client.context is not None
    assert server.parent.span_id == client.context.span_id
    assert client.attributes is not None
    assert client.attributes["govbus.provider"] == world.spiffe(PROVIDER)


async def test_call_made_inside_a_servicer_belongs_to_the_same_trace(world: World, spans: InMemorySpanExporter) -> None:
    async with running(world) as bus, connect(world.client_config((BROKER, bus.broker.port))) as inner:

        async def ask_further(_: object) -> None:
            bus.units.behave = None
            await rpc.AdministrativeUnitServiceStub(inner).GetUnit(ask("02"))

        bus.units.behave = ask_further
        await bus.stub.GetUnit(ask(), timeout=2)
        first, second = bus.units.calls
        # The inner call's own 5 s are cut to what the outer one has left; clocks are read a moment apart.
        assert second.deadline <= first.deadline + 0.2
    assert len({span.context.trace_id for span in spans.get_finished_spans() if span.context}) == 1
    assert len(spans.get_finished_spans()) == 4


async def test_refusal_puts_its_reason_on_the_span(world: World, spans: InMemorySpanExporter) -> None:
    async with running(world) as bus:
        with pytest.raises(exceptions.NoGrant):
            await bus.stub_using(purpose="other").GetUnit(ask())
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["govbus.reason"] == "NO_GRANT"
    assert span.status.status_code is StatusCode.ERROR


async def test_spans_hold_nothing_of_the_message_the_case_or_the_official(
    world: World, spans: InMemorySpanExporter
) -> None:
    async with running(world) as bus:
        stub = bus.stub_using(case_id="case-4711", official="desk-0815")
        await stub.GetUnit(ask("77"))
        with pytest.raises(ProviderError):
            await stub.GetUnit(ask("99"))
    for span in spans.get_finished_spans():
        told = span.to_json()
        for private in ("case-4711", "desk-0815", '"77"', "gso-2025-07"):
            assert private not in told


async def test_untraced_call_is_in_no_trace_at_the_providers_either(world: World, spans: InMemorySpanExporter) -> None:
    async with running(world) as bus:
        await bus.stub_using(untraced=True).GetUnit(ask())
        assert spans.get_finished_spans() == ()
        await bus.stub_using().GetUnit(ask())
    assert len(spans.get_finished_spans()) == 2


def test_untraced_call_tells_the_broker_to_record_nothing() -> None:
    (pair,) = telemetry.traceparent_of(telemetry.untraced_span(GET, PROVIDER))
    version, trace_id, span_id, flags = pair[1].split("-")
    assert (version, len(trace_id), len(span_id), flags) == ("00", 32, 16, "00")


async def test_without_tracing_no_traceparent_travels(world: World) -> None:
    span = trace.get_tracer("none").start_span("none")
    assert telemetry.traceparent_of(span) == ()
