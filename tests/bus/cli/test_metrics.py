"""What an instance measures of itself: real calls and refusals, read as Prometheus reads them.

The dashboard, the alarm rules and docs/metrics.md name only what is really there.
"""

import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bus.exchange import connect_blocking, load_provider_config  # isort: skip - before gRPC

import pytest
import yaml
from govbus.registry.v1 import renewal_pb2, renewal_pb2_grpc

from bus.exchange.config import BrokerAddress, ClientConfig
from bus.exchange.exceptions import KeyNotValid, NoGrant, ResponseSignatureInvalid
from bus.exchange.metrics_text import prometheus_name
from bus.up.metrics import MEASURES
from tests.bus.cli.conftest import Collector, Commands

TOP = Path(__file__).resolve().parents[3]
CALLS = 20
CAP_S = 60.0
BY_SCRAPER = {"instance", "job"}
NAME = re.compile(r"\b((?:govbus|rpc|process)_[a-z_]+)(\{[^}]*\})?")
CASE = "case-of-mrs-nobody"


@dataclass
class Scrape:
    """One answer of the endpoint."""

    text: str
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for line in self.text.splitlines():
            if not line.startswith("#"):
                found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
                assert found is not None, line
                labels = frozenset(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                assert (found[1], labels) not in self.samples, line
                self.samples[found[1], labels] = float(found[3])

    def value(self, name: str, **labels: str) -> float:
        found = [value for (each, told), value in self.samples.items() if each == name and labels.items() <= set(told)]
        return sum(found)

    def labels_of(self, name: str) -> set[str]:
        return {label for (each, told) in self.samples if each == name for label, _ in told}

    @property
    def types(self) -> dict[str, str]:
        return dict(re.findall(r"^# TYPE (\w+) (\w+)$", self.text, re.MULTILINE))


def scraped(address: str) -> Scrape:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        return Scrape(answer.read().decode())


@pytest.fixture(scope="module")
def called(instance: Commands, metrics_address: str) -> tuple[Scrape, Scrape]:
    """The figures before and after calls of the ledger's own home to the registry, and a refusal."""
    before = scraped(metrics_address)
    home = instance.state / "subsystems" / "gov.ndc.ledger"
    identity = load_provider_config(home / "config.yaml").identity
    provider, broker = (identity.spiffe_id.replace("/ledger", f"/{name}") for name in ("registry", "broker-1"))
    brokers = (BrokerAddress(broker, instance.part("broker")["facts"]["listen"]),)
    with connect_blocking(ClientConfig(identity, brokers, purpose="govbus.renewal", case_id=CASE)) as channel:
        stub = renewal_pb2_grpc.RenewalServiceStub(channel.using(provider=provider))

        def confirmed() -> bool:
            """The keys of a new instance start some seconds after their registration."""
            with contextlib.suppress(KeyNotValid, ResponseSignatureInvalid):
                stub.Confirm(renewal_pb2.ConfirmRequest(), timeout=30)
                return True
            return False

        wait_until(confirmed)
        for _ in range(CALLS):
            stub.Confirm(renewal_pb2.ConfirmRequest(), timeout=30)
        other = channel.using(provider=provider, purpose="other.purpose", grant_id="no-such-grant")
        with pytest.raises(NoGrant):
            renewal_pb2_grpc.RenewalServiceStub(other).Confirm(renewal_pb2.ConfirmRequest(), timeout=30)

    def told() -> bool:
        """Envoy joins its workers' histograms every 5 s."""
        return grown(before, scraped(metrics_address), "govbus_gate_provider_duration_seconds_count") >= CALLS

    wait_until(told)
    return before, scraped(metrics_address)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + CAP_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def grown(before: Scrape, after: Scrape, name: str, **labels: str) -> float:
    return after.value(name, **labels) - before.value(name, **labels)


def test_calls_refusals_latency_and_signatures_are_counted(called: tuple[Scrape, Scrape]) -> None:
    before, after = called
    broker = {"govbus_broker": "gov/ndc/broker-1"}
    assert grown(before, after, "govbus_gate_calls_total", govbus_outcome="done", **broker) >= CALLS
    assert grown(before, after, "govbus_gate_refusals_total", govbus_reason="NO_GRANT", **broker) == 1
    provider = {"govbus_provider": "gov/ndc/registry"}
    assert grown(before, after, "govbus_gate_provider_duration_seconds_count", **provider) >= CALLS
    buckets = "govbus_gate_provider_duration_seconds_bucket"
    assert grown(before, after, buckets, le="+Inf", **provider) >= CALLS
    assert after.value(buckets, le="0.001", **provider) <= after.value(buckets, le="+Inf", **provider)
    assert 0 < grown(before, after, "govbus_gate_duration_seconds_sum") < CAP_S * 2 * CALLS
    # The request's and the answer's, of every call; each call leaves an intent and an outcome.
    verified = grown(before, after, "govbus_gate_signatures_verified_total")
    assert verified + grown(before, after, "govbus_gate_signatures_remembered_total") >= 2 * CALLS
    assert grown(before, after, "govbus_gate_journal_leaves_total") >= 2 * CALLS
    assert grown(before, after, "govbus_gate_journal_groups_total") > 0
    assert after.value("govbus_gate_journal_room_bytes") > 1 << 20
    served = {"rpc_method": "govbus.registry.v1.RenewalService/Confirm", "rpc_response_status_code": "OK"}
    assert grown(before, after, "rpc_server_call_duration_seconds_count", **served) >= CALLS
    assert grown(before, after, "govbus_signing_batch_size_count") > 0


def test_parts_policy_ledger_and_keys_are_told(called: tuple[Scrape, Scrape]) -> None:
    _, after = called
    parts = {
        dict(told)["govbus_part"]: value for (name, told), value in after.samples.items() if name == "govbus_part_up"
    }
    wanted = ("postgres", "registry", "publisher", "enrolment", "ledger", "broker gov/ndc/broker-1")
    assert [parts[part] for part in wanted] == [1] * len(wanted)
    assert after.value("govbus_policy_version") >= 1
    assert 0 <= after.value("govbus_gate_policy_age_seconds") < 3600
    assert after.value("govbus_ledger_entries") > 0
    assert after.samples["govbus_ledger_lag_seconds", frozenset()] < CAP_S
    assert after.value("govbus_key_end_seconds", govbus_key="tls") > time.time()


def test_labels_are_few_and_nothing_of_a_call_is_in_them(called: tuple[Scrape, Scrape]) -> None:
    _, after = called
    for secret in (CASE, "other.purpose", "govbus.renewal", "no-such-grant"):
        assert secret not in after.text
    allowed = {prometheus_name(one, "gauge", "") for measure in MEASURES for one in measure.attributes}
    allowed |= {"rpc_method", "rpc_response_status_code", "rpc_system_name", "govbus_reason", "govbus_side", "le"}
    found = {label for name, told in after.samples if name != "target_info" for label, _ in told}
    assert found <= allowed
    assert not re.search(r"[0-9a-f]{32}", after.text.replace(*_own_id(after)))


def _own_id(scrape: Scrape) -> tuple[str, str]:
    """The resource's own random id, which every start has anew."""
    return next(value for _, told in scrape.samples for label, value in told if label == "service_instance_id"), ""


def test_every_measure_is_exposed_and_described(called: tuple[Scrape, Scrape]) -> None:
    _, after = called
    text = (TOP / "docs" / "metrics.md").read_text("utf-8")
    rows = {line.split("`")[1]: line for line in text.splitlines() if line.startswith("| `")}
    for measure in MEASURES:
        name = prometheus_name(measure.name, measure.kind, measure.unit)
        assert after.types.get(name) == measure.kind, name
        labels = ", ".join(f"`{prometheus_name(one, 'gauge', '')}`" for one in measure.attributes) or "-"
        assert f"| {measure.kind} | {measure.unit} | {labels} |" in rows.get(name, ""), name
    assert set(after.types) - {"target_info"} <= set(rows)


@pytest.mark.parametrize("source", ["deploy/grafana/govbus.json", "deploy/prometheus/rules.yml"])
def test_what_is_asked_for_is_really_there(called: tuple[Scrape, Scrape], source: str) -> None:
    _, after = called
    text = (TOP / source).read_text("utf-8")
    asked = _expressions(yaml.safe_load(text))
    assert len(asked) > 15
    for expression in asked:
        names = [name for name, _ in NAME.findall(re.sub(r"by \([^)]*\)|on \([^)]*\)|\{[^}]*\}", "", expression))]
        assert names, expression
        known = set[str]()
        for name in names:
            assert any(each == name for each, _ in after.samples), name
            known |= after.labels_of(name)
        for selector in re.findall(r"\{([^}]*)\}", expression):
            assert {one.group(1) for one in re.finditer(r"(\w+)\s*=?[=~!]", selector)} <= known, expression
        grouped = re.findall(r"(?:by|on) \(([^)]*)\)", expression)
        assert {one.strip() for group in grouped for one in group.split(",")} <= known | BY_SCRAPER, expression


def _expressions(document: object) -> list[str]:
    if isinstance(document, dict):
        found = [document["expr"]] if isinstance(document.get("expr"), str) else []
        return found + [one for value in document.values() for one in _expressions(value)]
    return [one for value in document for one in _expressions(value)] if isinstance(document, list) else []


def test_collector_is_sent_what_is_scraped(
    called: tuple[Scrape, Scrape], collector: tuple[str, Collector], instance: Commands
) -> None:
    _, after = called
    calls = after.value("govbus_gate_calls_total", govbus_outcome="done")

    def sent() -> bool:
        found = collector[1].figures.metrics.get("govbus-registry", {})
        if "govbus.gate.calls" not in found or "rpc.server.call.duration" not in found:
            return False
        points = found["govbus.gate.calls"].sum.data_points
        told = [one.as_double for one in points if any(each.value.string_value == "done" for each in one.attributes)]
        latency = found["govbus.gate.provider.duration"].histogram.data_points
        return sum(told) >= calls and sum(one.count for one in latency) >= CALLS

    wait_until(sent)
    found = collector[1].figures.metrics["govbus-registry"]
    assert {measure.name for measure in MEASURES} <= set(found)
    assert found["govbus.gate.calls"].sum.is_monotonic
    assert found["govbus.gate.duration"].unit == "s"


def test_promtool_finds_nothing_wrong(called: tuple[Scrape, Scrape]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    _, after = called
    checks = (["check", "metrics"], after.text), (["check", "rules", str(TOP / "deploy/prometheus/rules.yml")], "")
    for arguments, given in checks:
        done = subprocess.run(
            [promtool, *arguments], input=given, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_page_itself_is_served(metrics_address: str, instance: Commands) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{metrics_address}/", timeout=30)


def test_port_that_is_taken_fails_the_start_with_a_word(
    tmp_path: Path, instance: Commands, metrics_address: str
) -> None:
    said = Commands(tmp_path / "another").refused("up", "--metrics", metrics_address)
    assert f"metrics cannot be served at {metrics_address}" in said
    assert "name another host:port" in said
    assert "--metrics: write an address as host:port" in instance.refused("up", "--metrics", "9464")


def test_dashboard_is_what_grafana_imports() -> None:
    board = json.loads((TOP / "deploy/grafana/govbus.json").read_text("utf-8"))
    panels = [one for one in board["panels"] if one["type"] != "row"]
    assert len({one["id"] for one in board["panels"]}) == len(board["panels"])
    places = [(one["gridPos"]["x"], one["gridPos"]["y"]) for one in board["panels"]]
    assert len(set(places)) == len(places)
    for panel in panels:
        assert panel["datasource"]["uid"] == "${source}"
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
