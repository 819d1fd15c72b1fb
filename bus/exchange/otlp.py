"""Spans and metrics of this process to a collector, for programs that configure no OpenTelemetry SDK of their own.

OpenTelemetry's own variables decide (its environment variable specification): nothing is exported, and no SDK is even
imported, unless OTEL_EXPORTER_OTLP_ENDPOINT (or the one of traces or of metrics) is set and OTEL_SDK_DISABLED is not.
Only the gRPC protocol is spoken here. The service's name is OTEL_SERVICE_NAME, else what the program calls itself.
OTEL_METRICS_EXPORTER=prometheus has the metrics scraped instead, at OTEL_EXPORTER_PROMETHEUS_HOST and _PORT (localhost,
9464); `otlp,prometheus` does both.

A collector that is away costs spans, never a call: exporting happens on threads of its own from bounded queues.

`export_telemetry` is for a program that stays; `export_spans` for a command that makes a call and ends, which its
instance may have told where to.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics, trace

from bus.exchange.config import ConfigError
from bus.exchange.telemetry import recording_with

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricExporter, MetricReader
    from opentelemetry.sdk.resources import Resource

__all__ = ["Exported", "export_spans", "export_telemetry"]

Further = Callable[[], "list[Metric]"]
"""What else is measured, asked whenever somebody collects, on any thread."""

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS: Final = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_PROTOCOLS: Final = (
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
)

_EXPORTER: Final = "OTEL_METRICS_EXPORTER"
_PROMETHEUS_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
_PROMETHEUS_PORT: Final = "OTEL_EXPORTER_PROMETHEUS_PORT"

_LAST_S: Final = 2.0
_COMMAND_LAST_S: Final = 1.0
"""A person waits for a command's end."""


@contextmanager
def export_telemetry(
    service: str, *, scrape: tuple[str, int] | None = None, further: Further | None = None
) -> Iterator[None]:
    """For the block: what this process measures goes where the environment says. ConfigError if it says nonsense.

    `scrape`: a program's own option, host and port of a page for Prometheus. Once a process: OpenTelemetry's providers
    are global. What is queued when the block ends is still sent.
    """
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    wanted = _metrics_exporters()
    spans = not off and _is_set(_TRACES)
    pushed = not off and "otlp" in wanted and _is_set(_METRICS)
    scrape = None if off else scrape or (_scrape_address() if "prometheus" in wanted else None)
    with ExitStack() as exports:
        if spans or pushed:
            _verify_protocols()
            # A collector that is away shows at the collector; here it would be a line a second.
            logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        if spans:
            exports.callback(_export_spans(service))
        if pushed or scrape:
            _export_metrics(exports, _resource(service), pushed, scrape, further)
        yield


@dataclass(slots=True)
class Exported:
    """What a command's spans are of."""

    trace_id: str | None = None
    """Of the call that began last, 32 hex digits; None while there is none, or none that is recorded."""


@contextmanager
def export_spans(service: str, *, collector: str | None = None) -> Iterator[Exported]:
    """For the block: the spans of this process's calls go where OTEL_* say, else to `collector`, host:port.

    Nowhere without either. At the end they are sent, within a second. ConfigError as export_telemetry.
    """
    exported = Exported()
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not (collector or _is_set(_TRACES)):
        yield exported
        return
    from bus.exchange.otlp_spans import make_spans

    if _is_set(_TRACES):
        _verify_protocols()
        collector = None
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)

    def begun(trace_id: str) -> None:
        exported.trace_id = trace_id

    provider, give_up = make_spans(_resource(service), collector, begun)
    try:
        with recording_with(provider):
            yield exported
    finally:
        _end(provider.shutdown, give_up, _COMMAND_LAST_S)


def _is_set(name: str) -> bool:
    return bool(os.environ.get(_ENDPOINT) or os.environ.get(name))


def _metrics_exporters() -> set[str]:
    found = {one.strip() for one in os.environ.get(_EXPORTER, "otlp").split(",")} - {""}
    if wrong := found - {"otlp", "prometheus", "none"}:
        raise ConfigError(f"{_EXPORTER} is {', '.join(sorted(wrong))!r}; write otlp, prometheus, both, or none")
    return found


def _scrape_address() -> tuple[str, int]:
    port = os.environ.get(_PROMETHEUS_PORT) or "9464"
    if not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"{_PROMETHEUS_PORT} is {port!r}; write a port from 1 to 65535, or 0 for a free one")
    return os.environ.get(_PROMETHEUS_HOST) or "localhost", int(port)


def _verify_protocols() -> None:
    for name in _PROTOCOLS:
        if os.environ.get(name, "grpc") != "grpc":
            raise ConfigError(f"{name} is {os.environ[name]!r}; set it to grpc, or unset it")


def _export_spans(service: str) -> Callable[[], None]:
    from bus.exchange.otlp_spans import make_spans

    provider, give_up = make_spans(_resource(service))
    trace.set_tracer_provider(provider)
    return lambda: _end(provider.shutdown, give_up)


def _export_metrics(
    exports: ExitStack,
    resource: Resource,
    pushed: bool,
    scrape: tuple[str, int] | None,
    further: Further | None,
) -> None:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader

    readers: list[MetricReader] = []
    give_up: Callable[[], None] = lambda: None  # noqa: E731
    if pushed:
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

        exporter = OTLPMetricExporter()
        give_up = exporter.shutdown
        readers.append(PeriodicExportingMetricReader(_joined(exporter, resource, further) if further else exporter))
    if scrape is not None:
        from bus.exchange.metrics_http import MetricsPort
        from bus.exchange.metrics_text import to_text

        collected = InMemoryMetricReader()
        readers.append(collected)

        def text() -> str:
            return to_text(collected.get_metrics_data(), further() if further else ())

        exports.enter_context(MetricsPort(*scrape, text))
    provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    # Always something to collect: a process that has done nothing yet is up, too.
    began = time.monotonic()
    meter = metrics.get_meter("govbus")
    meter.create_observable_gauge(
        "process.uptime", [lambda _: [metrics.Observation(time.monotonic() - began)]], "s", "Since it measures"
    )
    exports.callback(_end, provider.shutdown, give_up)


def _joined(exporter: MetricExporter, resource: Resource, further: Further) -> MetricExporter:
    """`exporter`, which is also given what else is measured."""
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    class Joined(sdk.MetricExporter):
        def export(
            self, metrics_data: sdk.MetricsData, timeout_millis: float = 10_000, **_: Any
        ) -> sdk.MetricExportResult:
            # All under one resource: of two that are equal the exporter would send the last alone.
            scopes = [scope for each in metrics_data.resource_metrics for scope in each.scope_metrics]
            scopes.append(sdk.ScopeMetrics(InstrumentationScope("govbus.instance"), further(), ""))
            return exporter.export(sdk.MetricsData([sdk.ResourceMetrics(resource, scopes, "")]), timeout_millis)

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return exporter.force_flush(timeout_millis)

        def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None:
            exporter.shutdown(timeout_millis)

    return Joined()


def _end(end: Callable[[], None], give_up: Callable[[], None], seconds: float = _LAST_S) -> None:
    """Send what is queued, for no longer than this: the exporter alone would try for its whole timeout."""
    limit = threading.Timer(seconds, give_up)
    limit.start()
    try:
        end()
    finally:
        limit.cancel()


def _resource(service: str) -> Resource:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES come first: the SDK reads them itself."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    named = os.environ.get("OTEL_SERVICE_NAME")
    return Resource.create({} if named else {SERVICE_NAME: service})
