"""Spans and metrics of this process to a collector, for programs that configure no OpenTelemetry SDK of their own.

OpenTelemetry's own variables decide (its environment variable specification): nothing is exported, and no SDK is even
imported, unless OTEL_EXPORTER_OTLP_ENDPOINT (or the one of traces or of metrics) is set and OTEL_SDK_DISABLED is not.
Only the gRPC protocol is spoken here. The service's name is OTEL_SERVICE_NAME, else what the program calls itself.

A collector that is away costs spans, never a call: exporting happens on threads of its own from bounded queues.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace

from bus.exchange.config import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource

__all__ = ["export_telemetry"]

_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
_TRACES: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_METRICS: Final = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
_PROTOCOLS: Final = (
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
)

_LAST_S: Final = 2.0


@contextmanager
def export_telemetry(service: str) -> Iterator[None]:
    """For the block: what this process measures goes where the environment says. ConfigError if it says nonsense.

    Once a process: OpenTelemetry's providers are global. What is queued when the block ends is still sent.
    """
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    spans, figures = (not off and _is_set(name) for name in (_TRACES, _METRICS))
    with ExitStack() as exports:
        if spans or figures:
            _verify_protocols()
            # A collector that is away shows at the collector; here it would be a line a second.
            logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        if spans:
            exports.callback(_export_spans(service))
        if figures:
            exports.callback(_export_metrics(service))
        yield


def _is_set(name: str) -> bool:
    return bool(os.environ.get(_ENDPOINT) or os.environ.get(name))


def _verify_protocols() -> None:
    for name in _PROTOCOLS:
        if os.environ.get(name, "grpc") != "grpc":
            raise ConfigError(f"{name} is {os.environ[name]!r}; set it to grpc, or unset it")


def _export_spans(service: str) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter()
    provider = TracerProvider(resource=_resource(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return lambda: _end(provider.shutdown, exporter.shutdown)


def _export_metrics(service: str) -> Callable[[], None]:
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = OTLPMetricExporter()
    reader = PeriodicExportingMetricReader(exporter)
    provider = MeterProvider([reader], resource=_resource(service), shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return lambda: _end(provider.shutdown, exporter.shutdown)


def _end(end: Callable[[], None], give_up: Callable[[], None]) -> None:
    """Send what is queued, for no longer than _LAST_S: the exporter alone would try for its whole timeout."""
    limit = threading.Timer(_LAST_S, give_up)
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
