"""No gate key is certified by a signing key that is not in force: nobody would ever believe that journal."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from bus.edge.broker_file import load_broker_config
from bus.edge.instance import Instance
from bus.engines.broker import Broker
from bus.engines.broker_key import key_obstacle
from bus.engines.supervisor import EngineError
from bus.ledger.journal_source import JournalSource
from bus.up.broker_part import BrokerPart
from bus.up.layout import Facts, Layout
from bus.up.report_parts import Found, State
from bus.up.report_serving import brokers
from native.snapshot import BROKER_SCOPE, verify_snapshot
from pki.signer import FileSigner
from tests.support.joined import snapshot_of
from tests.support.nation import BROKER, CALLER, TRUST_DOMAIN, make_small_nation

HOUR = 3600


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return make_small_nation(tmp_path / "a state")


def set_key(instance: Instance, *, starts_in: float, ends_in: float = 1e6) -> None:
    """Publish another validity of the broker's signing key."""
    path, now = instance.state / "policy.yaml", time.time()
    start, end = (datetime.fromtimestamp(now + one, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for one in (starts_in, ends_in))
    line = r"(spki: brokers/[^,]+,\s+not_before: )[^,]+(,\s+not_after: )[^}]+"
    text, number = re.subn(line, rf"\g<1>{start}\g<2>{end}", path.read_text())
    assert number == 1
    path.write_text(text)
    instance.publish(now=datetime.now(UTC))


def verify_journal(instance: Instance) -> None:
    """As the ledger reads it: SourceRefused where a start's gate key is not certified by a key in force then."""
    keys = snapshot_of(instance.home(CALLER)).current.key
    broker = instance.subsystem_id(BROKER).spiffe_id
    JournalSource(instance.broker_home(BROKER) / "journal", broker, keys, time.monotonic).read(None)


def test_broker_does_not_start_before_its_signing_key_is_in_force(instance: Instance) -> None:
    set_key(instance, starts_in=HOUR)
    broker = Broker(instance.broker_home(BROKER))
    assert broker.obstacle().startswith("starts at 20")
    with pytest.raises(EngineError, match="when its signing key is in force"):
        broker.start()
    set_key(instance, starts_in=-HOUR)
    assert broker.obstacle() == ""  # the newer policy was taken in
    with Broker(instance.broker_home(BROKER)):
        verify_journal(instance)


def test_broker_does_not_start_with_a_key_that_ended_or_is_not_its_own(instance: Instance) -> None:
    set_key(instance, starts_in=-HOUR, ends_in=-60)
    broker = Broker(instance.broker_home(BROKER))
    assert "its own ended at" in broker.obstacle()
    home = instance.broker_home(BROKER)
    (home / "signing-key.pem").write_bytes((instance.home(CALLER) / "signing-key.pem").read_bytes())
    assert "when a policy names its signing key" in broker.obstacle()
    with pytest.raises(EngineError, match="names its signing key"):
        broker.start()


def test_part_of_an_instance_waits_for_the_key_and_says_until_when(instance: Instance) -> None:
    set_key(instance, starts_in=HOUR)
    said: list[str] = []
    part = BrokerPart(Layout(instance.state), Facts(TRUST_DOMAIN, BROKER), BROKER, lambda *_: None)

    def say(text: str) -> None:
        said.append(text)
        assert part.tell()["waits"].startswith("starts at 20")
        set_key(instance, starts_in=-HOUR)

    part.begin()
    try:
        assert not part.serves()
        part.wait(say)
        assert part.serves()
        assert part.tell()["waits"] == ""
        verify_journal(instance)
    finally:
        part.stop()
    assert [one.partition(" 20")[0] for one in said] == [f"broker {BROKER}: starts at"]


def test_status_tells_what_a_broker_waits_for(instance: Instance) -> None:
    layout, facts = Layout(instance.state), Facts(TRUST_DOMAIN, BROKER)
    found = Found(layout, facts, 0, 1, told={"brokers": {BROKER: {"pid": None, "waits": "starts at noon"}}})
    (part,) = brokers(found)
    assert (part.state, part.next) == (State.STARTING, "starts at noon")


def test_start_that_failed_is_tried_again_and_serves_once_it_can(instance: Instance) -> None:
    part = BrokerPart(Layout(instance.state), Facts(TRUST_DOMAIN, BROKER), BROKER, lambda *_: None)
    snapshot = instance.broker_home(BROKER) / "snapshot.bin"
    away = snapshot.rename(snapshot.with_name("away"))
    part.begin()
    try:
        for again in (partial(part.wait, print), part.keep_running):
            with pytest.raises(FileNotFoundError):
                again()
            assert not part.serves()
        away.rename(snapshot)
        part.keep_running()
        assert part.serves()
    finally:
        part.stop()


@contextmanager
def broker_run(instance: Instance) -> Iterator["subprocess.Popen[str]"]:
    """`govbus broker run`; ended in order."""
    command = [str(Path(sys.executable).with_name("govbus")), "broker", "run", str(instance.broker_home(BROKER))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0


def test_broker_run_waits_for_the_key_and_can_be_ended_meanwhile(instance: Instance) -> None:
    set_key(instance, starts_in=HOUR)
    with broker_run(instance) as process:
        assert process.stderr is not None
        assert "starts at 20" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read() == ""


def test_broker_run_starts_when_the_key_is_in_force(instance: Instance) -> None:
    set_key(instance, starts_in=HOUR)
    with broker_run(instance) as process:
        assert process.stderr is not None
        assert "starts at 20" in process.stderr.readline()
        set_key(instance, starts_in=-HOUR)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"ready: {BROKER}")
        verify_journal(instance)


def test_key_certifies_from_its_first_millisecond_to_its_last(instance: Instance) -> None:
    config = load_broker_config(instance.broker_home(BROKER))
    data, identity = config.snapshot.read_bytes(), config.identity
    now_ms = time.time_ns() // 1_000_000
    policy = verify_snapshot(data, config.policy_key_point, identity.trust_domain, BROKER_SCOPE, now_ms).policy
    key_id = FileSigner.load(config.directory / "signing-key.pem").key_id
    key = policy.key(key_id)
    assert key is not None
    first, last = key.not_before_ms, key.not_after_ms
    found = [key_obstacle(policy, key_id, identity.spiffe_id, at) for at in (first - 1, first, last, last + 1)]
    assert [one[:9] for one in found] == ["starts at", "", "", "starts wh"]
