"""What a process measures, as Prometheus reads it; and the environment's variables that open such a page."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from bus.exchange.config import ConfigError
from bus.exchange.metrics import Buckets, Kind, Measure, Points, to_metrics
from bus.exchange.metrics_http import MetricsPort
from bus.exchange.metrics_text import to_text
from tests.bus.engines.support import free_port

CALLS = Measure("test.calls", Kind.COUNTER, "{call}", "Calls\nof a test", ("test.way",))
TIME = Measure("test.time", Kind.HISTOGRAM, "s", "How long", ())
STATE = Measure("test.state", Kind.GAUGE, "By", 'A "state"')

PROGRAM = """
import sys
from bus.exchange import export_telemetry
from bus.exchange.telemetry import record_call
with export_telemetry("a program"):
    record_call("client", "/test.v1.Echo/Say", "OK", 0.02)
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_names_units_labels_and_buckets_are_prometheus_own() -> None:
    points = [
        Points(CALLS, {('a "quoted"\\\n',): 3, ("b",): 2.5}),
        Points(TIME, {(): Buckets((0.1, 1.0), (2, 1, 4), 12.25)}),
        Points(STATE, {(): 0}),
    ]
    assert to_text(None, to_metrics(points)).splitlines() == [
        "# HELP test_calls_total Calls\\nof a test",
        "# TYPE test_calls_total counter",
        'test_calls_total{test_way="a \\"quoted\\"\\\\\\n"} 3',
        'test_calls_total{test_way="b"} 2.5',
        '# HELP test_state_bytes A "state"',
        "# TYPE test_state_bytes gauge",
        "test_state_bytes 0",
        "# HELP test_time_seconds How long",
        "# TYPE test_time_seconds histogram",
        'test_time_seconds_bucket{le="0.1"} 2',
        'test_time_seconds_bucket{le="1"} 3',
        'test_time_seconds_bucket{le="+Inf"} 7',
        "test_time_seconds_sum 12.25",
        "test_time_seconds_count 7",
    ]


def test_instruments_and_points_stand_on_one_page() -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    provider.get_meter("test").create_counter("test.told").add(4, {"way": "x"})
    text = to_text(reader.get_metrics_data(), to_metrics([Points(STATE, {(): 1})]))
    provider.shutdown()
    assert 'test_told_total{way="x"} 4\n' in text
    assert "test_state_bytes 1\n" in text
    assert "target_info{" in text


def test_two_metrics_of_one_name_are_a_fault_and_no_page() -> None:
    twice = Measure("test_state", Kind.COUNTER, "By", "another")
    gauge = Measure("test.state.bytes.total", Kind.GAUGE, "", "one")
    with pytest.raises(ValueError, match="two metrics are called test_state_bytes_total"):
        to_text(None, to_metrics([Points(twice, {(): 1}), Points(gauge, {(): 1})]))


def test_point_with_other_attributes_than_declared_is_a_fault() -> None:
    with pytest.raises(ValueError, match="zip"):
        to_metrics([Points(CALLS, {("a", "079203001234"): 1})])


def test_port_that_is_taken_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="name another host:port"):
            MetricsPort("127.0.0.1", taken.getsockname()[1], lambda: "")


def test_silent_connections_leave_the_page_to_others() -> None:
    with MetricsPort("127.0.0.1", 0, lambda: "said 1\n") as page:
        silent = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(3)]
        with urllib.request.urlopen(f"http://127.0.0.1:{page.port}/metrics", timeout=30) as answer:
            assert answer.read() == b"said 1\n"
        for one in silent:
            one.close()


def test_connections_that_send_a_byte_now_and_then_do_not_keep_the_page_from_others() -> None:
    with MetricsPort("127.0.0.1", 0, lambda: "said 1\n") as page:
        slow = [socket.create_connection(("127.0.0.1", page.port)) for _ in range(8)]
        answer, until = b"", time.monotonic() + 60
        while not answer and time.monotonic() < until:
            for one in slow:
                with suppress(OSError):
                    one.send(b"G")
            time.sleep(0.2)
            with suppress(OSError), socket.create_connection(("127.0.0.1", page.port), timeout=5) as other:
                other.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                answer = other.makefile("rb").read()
        for one in slow:
            one.close()
    assert answer.endswith(b"said 1\n")


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path)} | more


def test_program_is_scraped_where_opentelemetrys_variables_say() -> None:
    port = free_port()
    told = environment(OTEL_METRICS_EXPORTER="prometheus", OTEL_EXPORTER_PROMETHEUS_PORT=str(port))
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=told, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        with urllib.request.urlopen(f"http://localhost:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        program.communicate(timeout=60)
    assert program.returncode == 0
    assert 'service_name="a program"' in text
    labels = 'rpc_method="test.v1.Echo/Say",rpc_response_status_code="OK",rpc_system_name="grpc"'
    assert f"rpc_client_call_duration_seconds_count{{{labels}}} 1\n" in text


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_METRICS_EXPORTER", "console"), ("OTEL_EXPORTER_PROMETHEUS_PORT", "many")]
)
def test_variable_that_says_nonsense_is_told_at_the_start(name: str, value: str) -> None:
    told = environment(**{"OTEL_METRICS_EXPORTER": "prometheus", name: value})
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=told, input=b"", capture_output=True, timeout=60, check=False
    )
    assert ran.returncode == 1
    assert f"ConfigError: {name} is '{value}'".encode() in ran.stderr
