"""Evidence that a client keeps itself verifies at once and proves that the call was permitted, though its part of the
policy was older than what judged.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bus.exchange import load_client_config, snapshot_as_of  # isort: skip - before gRPC

from vn.administrative.v1 import administrative_pb2

from bus.edge.nation import contract_image
from bus.edge.snapshot_files import BROKER_SNAPSHOT, peek_header, read_header
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from tests.integration.live import Live
from tests.support.live import BYSTANDER, CALLER, METHODS, PURPOSE, home_of

ASK = '{"code": {"codeListVersion": "gso-2025-07", "code": "01"}}'


def govbus(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("govbus")), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def leave_behind(live: Live) -> int:
    """A change that is no business of CALLER's: the version that judges from now on, which its part does not have."""
    live.put_in_force(SubsystemSuspended(BYSTANDER))
    live.put_in_force(SubsystemResumed(BYSTANDER))
    newest = read_header(live.layout.state / "snapshots" / BROKER_SNAPSHOT).version
    assert read_header(home_of(live.layout, CALLER) / "snapshot.bin").version < newest
    return newest


def test_evidence_of_govbus_call_verifies_after_a_change_that_does_not_concern_the_caller(
    live: Live, tmp_path: Path
) -> None:
    """Also the second time, by the part that was made anew for the first."""
    newest = leave_behind(live)
    (tmp_path / "contract").write_bytes(contract_image([administrative_pb2.DESCRIPTOR]))
    asked = (
        "call",
        "--descriptor-set",
        tmp_path / "contract",
        "--home",
        home_of(live.layout, CALLER),
        "--purpose",
        PURPOSE,
        METHODS[0][1:],
        ASK,
    )
    for bundle in (tmp_path / "first", tmp_path / "second"):
        called = govbus(*asked, "--evidence", bundle, "--json")
        assert called.returncode == 0, called.stderr
        told = json.loads(called.stdout)["evidence"]
        assert told["snapshot_version"] == told["judged_by_version"] >= newest
        verified = govbus("verify", bundle, "--policy-key", live.layout.policy_key, "--json")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        found = json.loads(verified.stdout)
        assert found["snapshot_version"] == found["judged_by_version"]
        assert {step["name"]: step["present"] for step in found["steps"]}["grant"] is True


def test_part_is_made_anew_once_for_a_version_and_never_for_one_that_is_not_there(live: Live) -> None:
    """Whoever asks again and again has the publisher do nothing again and again."""
    newest = leave_behind(live)
    identity = load_client_config(home_of(live.layout, CALLER) / "config.yaml").identity
    first = peek_header(asyncio.run(snapshot_as_of(identity, newest)))
    assert first.version == newest
    assert first.scope == identity.spiffe_id
    again = [peek_header(asyncio.run(snapshot_as_of(identity, newest))).version for _ in range(3)]
    assert again == [first.version] * 3
    with pytest.raises(ValueError, match=f"no newer one than version {first.version}"):
        asyncio.run(snapshot_as_of(identity, first.version + 1000))
    assert read_header(live.layout.state / "snapshots" / BROKER_SNAPSHOT).version == newest
