"""The SDK's half of exporting spans; imported only by those that export some.

Resources and samplers are the SDK's own business: it reads OTEL_* itself.
"""

from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

__all__ = ["make_spans"]


class _Begun(SpanProcessor):
    """Tells the trace of each call that begins."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if span.kind is SpanKind.CLIENT and span.context is not None:
            self._tell(f"{span.context.trace_id:032x}")


def make_spans(
    resource: Resource, collector: str | None = None, begun: Callable[[str], None] | None = None
) -> tuple[TracerProvider, Callable[[], None]]:
    """A provider that exports to `collector`, host:port in the clear, or where OTEL_* say; and what makes it give up.

    `begun` is told the trace of each client span that is recorded, when it begins.
    """
    exporter = OTLPSpanExporter() if collector is None else OTLPSpanExporter(f"http://{collector}", insecure=True)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if begun is not None:
        provider.add_span_processor(_Begun(begun))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider, exporter.shutdown
