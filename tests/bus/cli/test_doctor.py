"""`govbus doctor` finds what is usually wrong, and says what to do."""

import os
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bus.up.doctor import Finding, Level, examine
from bus.up.found import make_keys
from bus.up.layout import Layout
from pki.authority import Authority
from pki.credentials import issue_credentials
from pki.keys import encode_spki, generate_private_key
from tests.bus.cli.conftest import Commands

PORT_FILE = """version: 1
identity: spiffe://bus.gov.example/gov/ndc/broker-1
listen: 127.0.0.1:{port}
policy_key: policy-key.pem
snapshot: snapshot.bin
endpoints: endpoints.json
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Keys and files of an instance that does not run."""
    made = Layout(tmp_path / "state")
    facts, now = made.settle(None), datetime.now(UTC)
    authority = make_keys(made, facts, now=now)
    issue_credentials(authority, made.identity(facts), made.broker_home(facts.broker), now=now)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        write_port(made, probe.getsockname()[1])
    return made


def write_port(layout: Layout, port: int) -> None:
    (layout.broker_home("gov/ndc/broker-1") / "broker.yaml").write_text(PORT_FILE.format(port=port))


def wrong(layout: Layout, level: Level = Level.WRONG) -> list[Finding]:
    return [one for one in examine(layout) if one.level is level]


def test_running_instance_is_well(instance: Commands) -> None:
    found = instance.json("doctor")
    assert found["well"] is True
    assert {one["check"] for one in found["findings"]} == {
        "clock",
        "permissions",
        "disk",
        "certificates",
        "journals",
        "keys",
        "ledger",
        "policy",
        "ports",
        "leftovers",
    }
    assert "permissions" in instance.run("doctor").stdout


def test_instance_that_rests_is_well(layout: Layout) -> None:
    assert wrong(layout) == wrong(layout, Level.WARNING) == []


def test_key_that_others_can_read_is_found(layout: Layout) -> None:
    key = layout.state / "authority" / "issuing-key.pem"
    key.chmod(0o644)
    layout.policy_signing_key.chmod(0o640)
    (layout.state / "brokers").chmod(0o755)
    found = wrong(layout)
    assert [one.check for one in found] == ["permissions"] * 3
    assert any(f"chmod 600 '{key}'" in one.do for one in found)
    assert Commands(layout.state).json("doctor", status=1)["well"] is False


@pytest.mark.parametrize(("ago", "level"), [(timedelta(hours=20), Level.WARNING), (timedelta(hours=30), Level.WRONG)])
def test_certificate_that_ends_or_ended_is_found(layout: Layout, ago: timedelta, level: Level) -> None:
    then = datetime.now(UTC) - ago
    authority = Authority.open(layout.state.parent / "older", "bus.gov.example", now=then - timedelta(days=1))
    home = layout.broker_home("gov/ndc/broker-1")
    issued = authority.issue_tls(spki(), layout.identity(layout.expect()), now=then)
    (home / "tls" / "chain.pem").write_bytes(issued.chain_pem)
    (found,) = wrong(layout, level)
    assert found.check == "certificates"
    assert "govbus up" in found.do


def spki() -> bytes:
    return encode_spki(generate_private_key().public_key())


def test_port_that_somebody_else_took_is_found(layout: Layout) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        write_port(layout, port)
        (found,) = wrong(layout)
    assert found.check == "ports"
    assert str(port) in found.do


def test_clock_that_was_set_back_is_found(layout: Layout) -> None:
    published = layout.state / "snapshots" / "published.json"
    published.parent.mkdir(mode=0o700)
    published.write_text("{}")
    later = time.time() + 3600
    os.utime(published, (later, later))
    (found,) = wrong(layout)
    assert found.check == "clock"
    assert "timedatectl" in found.do


def test_what_a_killed_supervisor_left_is_told(layout: Layout) -> None:
    layout.supervisor.mkdir(mode=0o700)
    (layout.supervisor / "run-directory").write_bytes(b"/tmp/govbus-gone")
    (found,) = wrong(layout, Level.WARNING)
    assert found.check == "leftovers"
    assert "govbus up" in found.do


def test_disk_without_room_is_found(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, level in (("_LOW_BYTES", Level.WARNING), ("_NO_BYTES", Level.WRONG)):
        monkeypatch.setattr(f"bus.up.doctor.{limit}", 1 << 62)
        (found,) = wrong(layout, level)
        assert found.check == "disk"
