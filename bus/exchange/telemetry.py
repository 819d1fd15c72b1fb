"""Spans and instruments, on the OpenTelemetry API alone: whoever configures an SDK sees them, nobody else pays.

Only `traceparent` travels (the gate removes everything else, baggage included). Attributes hold names of methods,
subsystems and reasons: never a purpose's subject, a case, an official or a message.
"""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import Token
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from bus.exchange.reasons import Reason

__all__ = [
    "client_span",
    "count_refusal",
    "record_batch",
    "recording_with",
    "refuse_span",
    "server_span",
    "serving",
    "traceparent_of",
    "untraced_span",
]

SCOPE: Final = "govbus.exchange"
TRACEPARENT: Final = "traceparent"
REASON: Final = "govbus.reason"
REQUEST_ID: Final = "govbus.request_id"

_ROOT = Context()
_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer(SCOPE)
_meter = metrics.get_meter(SCOPE)
_batch_size = _meter.create_histogram(
    "govbus.signing.batch_size",
    unit="{header}",
    description="Headers under one signature; its mean is the batch's worth",
    explicit_bucket_boundaries_advisory=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
_refusals = _meter.create_counter(
    "govbus.refusals", unit="{call}", description="Calls that ended in a refusal, by reason and by side"
)
# The bounds that OpenTelemetry's conventions for RPC give.
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_durations = {
    "client": _meter.create_histogram(
        "rpc.client.call.duration",
        unit="s",
        description="Calls that this process made, retries and waiting included",
        explicit_bucket_boundaries_advisory=_BOUNDS,
    ),
    "provider": _meter.create_histogram(
        "rpc.server.call.duration",
        unit="s",
        description="Calls that this process served",
        explicit_bucket_boundaries_advisory=_BOUNDS,
    ),
}


def record_batch(size: int) -> None:
    """One signature over `size` headers."""
    _batch_size.record(size)


def count_refusal(reason: Reason | None, side: str) -> None:
    """One refused call at `side` (client, provider)."""
    _refusals.add(1, {REASON: str(reason) if reason else "PROVIDER", "govbus.side": side})


def record_call(side: str, method: str, code: str, seconds: float) -> None:
    """One call that ended at `side` (client, provider)."""
    attributes = {"rpc.system.name": "grpc", "rpc.method": method[1:], "rpc.response.status_code": code}
    _durations[side].record(seconds, attributes)


def client_span(method: str, provider: str) -> Span:
    """The span of one call of this client, retries included."""
    return _tracer.start_span(method[1:], kind=SpanKind.CLIENT, attributes=_attributes(method, provider))


def untraced_span(method: str, provider: str) -> Span:
    """In the place of client_span: recorded nowhere, and telling the broker and the provider the same (W3C: flag 00).

    Without it the broker would begin a trace of its own.
    """
    trace_id, span_id = random.getrandbits(128) | 1, random.getrandbits(64) | 1
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False))


def policy_span(version: int) -> Span:
    """Of taking up a policy that came; by itself, since nobody's call waits for it."""
    told = {"govbus.policy.version": version}
    return _tracer.start_span("govbus.policy.taken", context=_ROOT, attributes=told, record_exception=False)


@contextmanager
def recording_with(provider: TracerProvider) -> Iterator[None]:
    """Have `provider` make this process's spans of calls for the block; OpenTelemetry's own is set once for ever."""
    global _tracer
    before, _tracer = _tracer, provider.get_tracer(SCOPE)
    try:
        yield
    finally:
        _tracer = before


def server_span(method: str, provider: str, traceparent: str | None) -> Span:
    """The span of one call that this provider serves."""
    parent = _propagator.extract({TRACEPARENT: traceparent}, _ROOT) if traceparent else _ROOT
    attributes = _attributes(method, provider)
    return _tracer.start_span(method[1:], context=parent, kind=SpanKind.SERVER, attributes=attributes)


@contextmanager
def serving(method: str, provider: str, pairs: Iterable[tuple[str, str | bytes]]) -> Iterator[None]:
    """For the block: the span of a call that did not come by the bus, above the calls that are made for it."""
    span = server_span(method, provider, traceparent_in(pairs))
    token = enter(span)
    try:
        yield
    finally:
        leave(token)
        span.end()


def name_request(request_id: bytes, span: Span | None = None) -> None:
    """Put a signed request's id, which `govbus explain` takes, on `span`, or on the current one. The last stays."""
    span = trace.get_current_span() if span is None else span
    if span.is_recording():
        span.set_attribute(REQUEST_ID, request_id.hex())


def enter(span: Span) -> Token[Context]:
    """Make `span` the parent of what is called now, until `leave` of what is returned."""
    return attach(trace.set_span_in_context(span))


def leave(token: Token[Context]) -> None:
    """As before `enter`."""
    detach(token)


def traceparent_of(span: Span) -> tuple[tuple[str, str], ...]:
    """The metadata that makes the other side's span a child of `span`; empty when nothing is traced."""
    if not span.get_span_context().is_valid:
        return ()
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span, _ROOT))
    found = carrier.get(TRACEPARENT)
    return ((TRACEPARENT, found),) if found else ()


def traceparent_in(pairs: Iterable[tuple[str, str | bytes]]) -> str | None:
    """The `traceparent` among metadata."""
    for key, value in pairs:
        if key == TRACEPARENT and isinstance(value, str):
            return value
    return None


def refuse_span(span: Span, reason: Reason | None, code: str) -> None:
    """Mark `span` as failed for `reason`."""
    span.set_attribute(REASON, str(reason) if reason else "PROVIDER")
    span.set_attribute("rpc.response.status_code", code)
    span.set_status(StatusCode.ERROR)


def _attributes(method: str, provider: str) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method[1:], "govbus.provider": provider}
