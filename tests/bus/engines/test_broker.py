"""A broker out of its directory: real Envoy, real gate, real snapshot (bus.engines.broker)."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from bus.edge.instance import Instance
from bus.engines.broker import Broker
from bus.engines.supervisor import EngineError
from pki.files import write_atomic
from tests.support.nation import BROKER, CALLER, make_small_nation


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return make_small_nation(tmp_path / "a state")


@pytest.fixture
def broker(instance: Instance) -> Iterator[Broker]:
    with Broker(instance.broker_home(BROKER)) as broker:
        yield broker


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def served(broker: Broker) -> int:
    """The version by which the gate judges a call: it is asked by one, which it refuses."""
    asyncio.run(_ask(broker))
    return next((value for name, value in broker.statistics().items() if name.endswith("snapshot_version")), 0)


async def _ask(broker: Broker) -> None:
    home = broker.config.directory
    names = ("trust.pem", "tls/key.pem", "tls/chain.pem")
    secure = grpc.ssl_channel_credentials(*((home / name).read_bytes() for name in names))
    options = [("grpc.ssl_target_name_override", broker.config.identity.dns_name), ("grpc.enable_retries", 0)]
    async with grpc.aio.secure_channel(str(broker.config.listen), secure, options) as channel:
        ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/test.v1.EchoService/Say")
        with contextlib.suppress(grpc.aio.AioRpcError):
            await ask(b"", timeout=2)


def test_a_published_policy_is_followed(instance: Instance, broker: Broker) -> None:
    assert eventually(lambda: served(broker) == 1)
    instance.publish(now=datetime.now(UTC))
    assert eventually(lambda: served(broker) == 2)
    assert broker.envoy.supervisor.starts == 1


@pytest.mark.parametrize("wrong", ["older", "garbage", "another scope"])
def test_a_policy_that_is_not_the_next_is_not_used(instance: Instance, broker: Broker, wrong: str) -> None:
    path = broker.config.snapshot
    older = path.read_bytes()
    instance.publish(now=datetime.now(UTC))
    assert eventually(lambda: served(broker) == 2)
    replaced = {
        "older": older,
        "garbage": b"GVBSNAP1" + os.urandom(500),
        "another scope": (instance.home(CALLER) / "snapshot.bin").read_bytes(),
    }[wrong]
    write_atomic(path, replaced)
    time.sleep(0.6)
    assert (broker.snapshot_version, served(broker)) == (2, 2)
    instance.publish(now=datetime.now(UTC))
    assert eventually(lambda: served(broker) == 3)


def test_a_killed_broker_comes_back_with_a_new_gate_key(broker: Broker) -> None:
    supervisor = broker.envoy.supervisor
    first = supervisor.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert eventually(lambda: supervisor.starts == 2 and supervisor.ready)
    assert eventually(lambda: served(broker) == 1)


def test_a_version_below_the_one_served_is_refused_after_a_restart_too(instance: Instance) -> None:
    path = instance.broker_home(BROKER) / "snapshot.bin"
    first = path.read_bytes()
    instance.publish(now=datetime.now(UTC))
    with Broker(instance.broker_home(BROKER)) as broker:
        assert eventually(lambda: served(broker) == 2)
    write_atomic(path, first)
    broker = Broker(instance.broker_home(BROKER))
    with pytest.raises(EngineError):
        broker.start(timeout=3)


def test_no_private_key_is_in_the_environment_or_on_the_command_line(broker: Broker) -> None:
    pid = broker.envoy.supervisor.pid
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in environment if entry}
    assert {name for name in names if not name.startswith("GOVBUS_")} <= {
        "PATH",
        "LC_ALL",
        "ENVOY_DYNAMIC_MODULES_SEARCH_PATH",
    }
    (key,) = (entry for entry in environment if entry.startswith(b"GOVBUS_GATE_KEY="))
    assert key.startswith(b"GOVBUS_GATE_KEY=/proc/self/fd/")


def test_credentials_of_another_subsystem_are_refused(instance: Instance) -> None:
    home = instance.broker_home(BROKER)
    config = home / "broker.yaml"
    config.write_text(config.read_text().replace("ndc/broker-1", "ndc/broker-2"))
    with pytest.raises(EngineError, match="credentials"):
        Broker(home)


def test_an_old_policy_is_told(instance: Instance, caplog: pytest.LogCaptureFixture) -> None:
    policy = instance.state / "policy.yaml"
    policy.write_text(policy.read_text().replace("alarm_after: 6h", "alarm_after: 1ms"))
    instance.publish(now=datetime.now(UTC))
    with Broker(instance.broker_home(BROKER)):
        assert eventually(lambda: "publish a new one" in caplog.text)
