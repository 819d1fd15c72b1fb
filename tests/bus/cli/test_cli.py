"""The `govbus` command as people and scripts use it: data on stdout, one line on stderr, exit codes 0, 1, 2."""

import json
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.edge.instance import Instance
from bus.evidence.bundle import encode_bundle, parse_bundle
from bus.evidence.verify import LEDGER_STEPS
from tests.bus.ledger.support import signer
from tests.support.nation import BROKER, CALLER, make_small_nation
from tests.support.recorded_call import RecordedCall, bundle_of, record_call

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMAND = [sys.executable, "-c", "from bus.cli import main; main()"]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Instance:
    return make_small_nation(tmp_path_factory.mktemp("a nation") / "state")


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> RecordedCall:
    return record_call(make_small_nation(tmp_path_factory.mktemp("recorded") / "state"))


@pytest.fixture
def bundle(call: RecordedCall, tmp_path: Path) -> Path:
    path = tmp_path / "call.evidence"
    path.write_bytes(encode_bundle(bundle_of(call)))
    return path


def govbus(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line that says why; no traceback, nothing on stdout."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("govbus: ")
    return line


def test_a_policy_is_compiled_and_shown(instance: Instance, tmp_path: Path) -> None:
    done = govbus("snapshot", "compile", instance.state / "policy.yaml", "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] == 1
    done = govbus("snapshot", "compile", instance.state / "policy.yaml", "--out", tmp_path / "out")
    assert "version 2" in done.stdout
    key = instance.state / "policy-key.pem"
    shown = govbus("snapshot", "show", tmp_path / "out" / "broker.snapshot", "--policy-key", key, "--json")
    facts = json.loads(shown.stdout)
    assert (facts["version"], facts["signature"], facts["grants"]) == ("2", "verified", "1")
    own = govbus("snapshot", "show", tmp_path / "out" / f"{CALLER.replace('/', '.')}.snapshot")
    assert instance.subsystem_id(CALLER).spiffe_id in own.stdout


def test_a_wrong_policy_is_refused_at_its_line(instance: Instance, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("version: 1\ntrust_domain: bus.test.example\nsubsystem: []\n")
    line = refused(govbus("snapshot", "compile", policy, "--out", tmp_path / "out", "--make-key"))
    assert f"{policy}:3: " in line
    assert not (tmp_path / "out").exists()


def test_without_a_signing_key_it_says_what_to_do(instance: Instance, tmp_path: Path) -> None:
    arguments = ("snapshot", "compile", instance.state / "policy.yaml", "--out", tmp_path, "--key", tmp_path / "none")
    assert "--make-key" in refused(govbus(*arguments))


def test_a_version_never_falls(instance: Instance, tmp_path: Path) -> None:
    arguments = ("snapshot", "compile", instance.state / "policy.yaml", "--out", tmp_path / "out", "--number", "5")
    assert govbus(*arguments).returncode == 0
    refused(govbus(*arguments))


@pytest.mark.parametrize("command", [("snapshot", "show"), ("verify",), ("broker", "run"), ("instance", "publish")])
def test_a_missing_file_is_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    assert "No such file" in refused(govbus(*command, tmp_path / "nothing"))


def test_something_else_than_a_snapshot_is_one_line(bundle: Path) -> None:
    refused(govbus("snapshot", "show", bundle))


def test_evidence_that_holds_is_verified(call: RecordedCall, bundle: Path) -> None:
    done = govbus("verify", bundle, "--policy-key", call.instance.state / "policy-key.pem")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("verified")
    assert done.stderr == ""


def test_evidence_on_its_own_anchor_is_verified_with_a_warning(call: RecordedCall, bundle: Path) -> None:
    done = govbus("verify", bundle)
    assert done.returncode == 0
    assert "--policy-key" in done.stderr
    assert done.stdout.rstrip().endswith("verified, by the bundle's own keys")
    pinned = govbus("verify", bundle, "--policy-key", call.instance.state / "policy-key.pem", "--json")
    missing = json.loads(govbus("verify", bundle, "--json").stdout)["not_proven"]
    assert [one for one in missing if "--policy-key" in one]
    assert [one for one in missing if "--policy-key" not in one] == json.loads(pinned.stdout)["not_proven"]


def test_evidence_as_json(call: RecordedCall, bundle: Path) -> None:
    found = json.loads(govbus("verify", bundle, "--json").stdout)
    assert found["verified"] is True
    assert found["policy_key_pinned"] is False
    assert found["call"]["case"] == call.header.case_id


def test_a_flipped_byte_names_the_step_and_exits_1(bundle: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[data.index(b"who lives")] ^= 1
    bundle.write_bytes(data)
    done = govbus("verify", bundle)
    assert done.returncode == 1
    assert "step 14 (request body)" in done.stderr
    failed = json.loads(govbus("verify", bundle, "--json").stdout)
    assert (failed["verified"], failed["incomplete"], failed["failed"]["number"]) == (False, False, 14)


def test_an_instance_is_shown_published_and_renewed(instance: Instance) -> None:
    before = instance.version
    assert govbus("instance", "publish", instance.state).returncode == 0
    assert govbus("instance", "renew", instance.state, CALLER).returncode == 0
    found = json.loads(govbus("instance", "show", instance.state, "--json").stdout)
    assert found["version"] == before + 2
    assert {one["subsystem"]: one["role"] for one in found["subsystems"]}[BROKER] == "broker"


def test_a_broker_runs_in_the_foreground_until_it_is_told(instance: Instance) -> None:
    with subprocess.Popen(
        [*COMMAND, "broker", "run", str(instance.broker_home(BROKER))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert line.startswith(f"ready: {BROKER} on 127.0.0.1:"), errors
    assert (process.returncode, errors) == (0, "")


def test_evidence_is_exported_from_the_journal_with_the_holders_body(call: RecordedCall, tmp_path: Path) -> None:
    body, out = tmp_path / "request.body", tmp_path / "out.evidence"
    body.write_bytes(call.request_salt + call.request_frames)
    found = ("--journal", call.journal, "--out", out, "--request-body", body)
    done = govbus("evidence", "export", call.header.request_id.hex(), *found)
    assert (done.returncode, done.stderr) == (0, "")
    (command,) = [line for line in done.stdout.splitlines() if line.startswith("  govbus verify ")]
    assert govbus(*shlex.split(command)[1:]).returncode == 0
    steps = json.loads(govbus("verify", out, "--json").stdout)["steps"]
    assert [step["name"] for step in steps if not step["present"]] == ["response body", *LEDGER_STEPS]


def test_evidence_is_completed_with_what_the_caller_kept(call: RecordedCall, bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.evidence"
    export = ("evidence", "export", call.header.request_id.hex(), "--journal", call.journal, "--out", out)
    assert govbus(*export, "--with", bundle).returncode == 0
    held = parse_bundle(bundle.read_bytes())
    assert replace(parse_bundle(out.read_bytes()), snapshot=held.snapshot) == held  # the broker has a part of its own
    out.unlink()
    assert "not both" in refused(govbus(*export, "--with", bundle, "--request-body", bundle))
    assert "not an evidence bundle" in refused(govbus(*export, "--with", call.instance.state / "policy-key.pem"))
    bundle.write_bytes(encode_bundle(replace(held, policy_key=bytes(65))))
    assert "another policy key" in refused(govbus(*export, "--with", bundle))
    assert not out.exists()


def test_evidence_without_the_pinned_ledgers_proof_is_incomplete_and_not_broken(
    call: RecordedCall, bundle: Path, tmp_path: Path
) -> None:
    key = tmp_path / "ledger-key"
    key.write_text(signer().verifier.text + "\n")
    pins = ("--policy-key", call.instance.state / "policy-key.pem", "--ledger-key", key)
    done = govbus("verify", bundle, *pins)
    assert done.returncode == 3
    assert "is incomplete, not contradicted" in done.stderr
    assert f"govbus evidence export {call.header.request_id.hex()} --with {bundle}" in done.stderr
    assert "verified" not in done.stdout.splitlines()
    done = govbus("verify", bundle, *pins, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["verified"], found["incomplete"]) == (3, False, True)
    assert [one["name"] for one in found["missing"]] == list(LEDGER_STEPS)
    assert found["call"]["case"] == call.header.case_id


def test_evidence_rests_on_the_kept_snapshot_that_judged_the_call_or_says_that_it_does_not(
    call: RecordedCall, tmp_path: Path
) -> None:
    home, out = call.journal.parent, tmp_path / "out.evidence"
    judging, current = (home / "snapshot.bin").read_bytes(), home / "snapshot.bin"
    call.instance.publish(now=datetime.now(UTC))
    export = ("evidence", "export", call.header.request_id.hex(), "--journal", call.journal, "--out", out)
    try:
        assert govbus(*export).returncode == 0
        later = govbus("verify", out)
        assert (later.returncode, "judged by version 1" in later.stderr) == (0, True), later.stderr
        kept = home / "envoy" / "snapshots"
        kept.mkdir(parents=True)
        (kept / f"{1:012d}-abc.bin").write_bytes(judging)
        assert govbus(*export).returncode == 0
        assert parse_bundle(out.read_bytes()).snapshot == judging
        assert "judged by" not in govbus("verify", out).stderr
    finally:
        current.write_bytes(judging)


def test_the_newest_call_is_called_last(call: RecordedCall, tmp_path: Path) -> None:
    arguments = ("evidence", "export", "last", "--out", tmp_path / "out.evidence", "--json", "--journal")
    found = json.loads(govbus(*arguments, call.journal).stdout)
    assert found["request_id"] == call.header.request_id.hex()
    (tmp_path / "empty").mkdir()
    assert "no call was recorded" in refused(govbus(*arguments, tmp_path / "empty"))


def test_evidence_of_a_call_that_is_not_there_is_one_line(call: RecordedCall, tmp_path: Path) -> None:
    arguments = ("--journal", call.journal, "--out", tmp_path / "out.evidence")
    assert "no such request" in refused(govbus("evidence", "export", "00" * 16, *arguments))
    assert "hex" in refused(govbus("evidence", "export", "case-a1", *arguments))
    elsewhere = ("--journal", call.journal, "--out", tmp_path / "nowhere" / "out.evidence")
    assert "make it" in refused(govbus("evidence", "export", "last", *elsewhere))
    assert not (tmp_path / "out.evidence").exists()
