"""A real Jaeger beside a test, with its traces in memory: found, never downloaded (`make jaeger` builds one).

Looked for in GOVBUS_JAEGER, on PATH, and where `make jaeger` puts it. Of version 2: it is configured by one file, and
every port is a free one of loopback.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.edge.endpoint import Endpoint

__all__ = ["Jaeger", "find_jaeger", "running_jaeger"]

CAP_S = 60.0
MISSING = "no jaeger in GOVBUS_JAEGER, on PATH or in the cache; make jaeger builds one"


@dataclass(frozen=True)
class Jaeger:
    """Where it takes spans, and where it is asked for them."""

    otlp: Endpoint
    query: str

    def ask(self, path: str) -> Any:
        """The answer of its HTTP API; None where it says that nothing is there."""
        try:
            with urllib.request.urlopen(f"{self.query}{path}", timeout=30) as answer:  # noqa: S310 (http, ours)
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


def find_jaeger() -> Path | None:
    """The program, if this machine has one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "govbus" / "jaeger" / "jaeger"
    named = os.environ.get("GOVBUS_JAEGER") or shutil.which("jaeger")
    found = Path(named) if named else cache
    return found if os.access(found, os.X_OK) else None


@contextmanager
def running_jaeger(program: Path, folder: Path) -> Iterator[Jaeger]:
    """Between its start and its end; it keeps nothing."""
    otlp, http, grpc, health = _free_ports(4)
    config = folder / "jaeger.yaml"
    config.write_text(_CONFIG.format(otlp=otlp, http=http, grpc=grpc, health=health), encoding="utf-8")
    with (folder / "jaeger.log").open("wb") as log:
        process = subprocess.Popen([program, "--config", config], stdout=log, stderr=log)
    found = Jaeger(Endpoint("127.0.0.1", otlp), f"http://127.0.0.1:{http}")
    try:
        _wait(process, found, folder / "jaeger.log")
        yield found
    finally:
        process.kill()  # it has nothing to save
        process.wait(CAP_S)


def _wait(process: "subprocess.Popen[bytes]", jaeger: Jaeger, log: Path) -> None:
    end = time.monotonic() + CAP_S
    while True:
        assert process.poll() is None, log.read_text()[-2000:]
        try:
            with socket.create_connection((jaeger.otlp.host, jaeger.otlp.port), 5):
                jaeger.ask("/api/services")
                return
        except OSError:
            assert time.monotonic() < end, log.read_text()[-2000:]
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


_CONFIG = """\
service:
  extensions: [jaeger_storage, jaeger_query, healthcheckv2]
  pipelines:
    traces: {{receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry:
    metrics: {{level: none}}
extensions:
  jaeger_query:
    storage: {{traces: memory}}
    http: {{endpoint: "127.0.0.1:{http}"}}
    grpc: {{endpoint: "127.0.0.1:{grpc}"}}
  jaeger_storage:
    backends: {{memory: {{memory: {{max_traces: 1000}}}}}}
  healthcheckv2:
    use_v2: true
    http: {{endpoint: "127.0.0.1:{health}"}}
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{otlp}"}}}}}}
exporters:
  jaeger_storage_exporter: {{trace_storage: memory}}
"""
