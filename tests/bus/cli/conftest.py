"""One running instance for every test of the commands that work on one; started and ended as an operator does it."""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.exchange.tls import TlsError  # noqa: F401  # isort: skip - before gRPC

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from typer.testing import CliRunner

from bus.cli.main import app
from tests.bus.engines.support import free_port

COMMAND = [sys.executable, "-c", "from bus.cli import main; main()"]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Commands:
    """`govbus`, given for one state directory."""

    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"GOVBUS_STATE": str(self.state)}

    def run(self, *arguments: object, status: int | None = 0) -> Done:
        """In this process, for speed: what runs in the background is a process of its own anyway."""
        done = CliRunner().invoke(
            app, list(map(str, arguments)), env={"GOVBUS_STATE": str(self.state), "COLUMNS": "200"}
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert status is None or done.exit_code == status, (arguments, done.exit_code, done.stdout, done.stderr)
        return Done(done.exit_code, done.stdout, done.stderr)

    def json(self, *arguments: object, status: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", status=status).stdout)

    def refused(self, *arguments: object) -> str:
        """The one line that says why; nothing on stdout, no traceback."""
        done = self.run(*arguments, status=2)
        assert done.stdout == ""
        line = done.stderr.splitlines()[-1]
        assert line.startswith("govbus: "), done.stderr
        assert "Traceback" not in done.stderr
        return line

    def part(self, name: str) -> dict[str, Any]:
        """One part of the status."""
        found = self.json("status", status=None)
        (part,) = [one for one in found["parts"] if one["part"] == name]
        return dict(part)


class MetricsCollector(MetricsServiceServicer):
    """Keeps the newest figures that each service sent."""

    def __init__(self) -> None:
        self.metrics: dict[str, dict[str, Metric]] = {}

    def Export(self, request: ExportMetricsServiceRequest, context: object) -> ExportMetricsServiceResponse:
        for part in request.resource_metrics:
            told = {each.key: each.value.string_value for each in part.resource.attributes}
            found = self.metrics.setdefault(told["service.name"], {})
            found.update({metric.name: metric for scope in part.scope_metrics for metric in scope.metrics})
        return ExportMetricsServiceResponse()


class Collector(TraceServiceServicer):
    """Keeps every span, by the service that sent it, and the newest metrics."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        self.figures = MetricsCollector()

    def Export(self, request: ExportTraceServiceRequest, context: object) -> ExportTraceServiceResponse:
        for part in request.resource_spans:
            told = {each.key: each.value.string_value for each in part.resource.attributes}
            self.spans += [(told["service.name"], span) for scope in part.scope_spans for span in scope.spans]
        return ExportTraceServiceResponse()

    def of(self, service: str, method: str) -> list[Span]:
        """Spans that a service sent about calls of a method."""
        found = [span for name, span in list(self.spans) if name == service]
        return [span for span in found if method in f"{span.name} {span.attributes}"]


@pytest.fixture(scope="session")
def collector() -> Iterator[tuple[str, Collector]]:
    """An OTLP receiver: where it listens, and what it received."""
    received, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(received, server)  # type: ignore[no-untyped-call]  # generated
    add_MetricsServiceServicer_to_server(received.figures, server)  # type: ignore[no-untyped-call]  # generated
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", received
    server.stop(None)


@pytest.fixture(scope="session")
def metrics_address() -> str:
    """Where the session's instance shows its metrics."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def instance(
    tmp_path_factory: pytest.TempPathFactory, collector: tuple[str, Collector], metrics_address: str
) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("an instance") / "state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "5000")
        commands.run("up", "--trust-domain", "bus.test.example", "--otlp", collector[0], "--metrics", metrics_address)
    yield commands
    commands.run("down", "--wipe", "--yes")
