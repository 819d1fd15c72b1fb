"""deploy/kubernetes does what it says: Envoy and its keeper in worlds of their own, and real calls."""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bus.exchange import CallError, connect, load_client_config, load_provider_config, serve  # isort: skip - before gRPC

import pytest
import yaml
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.edge.instance import Instance, make_instance
from bus.engines.admin import EnvoyAdmin
from native.journal import load_segments, read_groups
from native.journal_records import ProcessStart, parse_record
from tests.bus.engines.support import free_port
from tests.deploy.pod import TOP, Container, Pod, unavailable
from tests.integration.world import BROKER, CALLER, PURPOSE, UNITS, Units, ask, nation
from tests.support.live import wait_until


def workload(name: str) -> Any:
    objects = yaml.safe_load_all((TOP / "deploy" / "kubernetes" / f"{name}.yaml").read_text("utf-8"))
    (found,) = (one for one in objects if one["kind"] == "StatefulSet")
    return found


pytestmark = pytest.mark.skipif(unavailable() != "", reason=unavailable())


class World:
    """An instance whose broker's home lies in the volume of a pod."""

    def __init__(self, directory: Path) -> None:
        self.instance: Instance = make_instance(directory / "a state", nation(), now=datetime.now(UTC))
        self.pod = Pod(workload("broker"), directory / "a pod")
        self.home = self.pod.directory / "state" / "home"
        self.share = self.pod.directory / "share"
        elsewhere = self.instance.broker_home(BROKER)
        elsewhere.rename(self.home)
        elsewhere.symlink_to(self.home)
        self.containers: dict[str, Container] = {}

    def start(self, name: str, hook: str = "") -> Container:
        """As the kubelet does: a sidecar until its probe holds, then the next."""
        told = self.pod.containers[name]
        if hook:
            return self.pod.start(name, told["lifecycle"][hook]["exec"]["command"])
        self.containers[name] = self.pod.start(name)
        if "restartPolicy" in told:
            probe = told["startupProbe"]["exec"]["command"]
            wait_until(lambda: self.pod.start(name, probe).ended() == 0)
        return self.containers[name]

    def served(self) -> int:
        """The version of the policy that its gate took last."""
        # A socket's path must be short: it is met through the container's own root.
        admin = EnvoyAdmin(Path("/proc", str(self.containers["envoy"].pid), "root", "run", "govbus", "admin", "socket"))
        return int(admin.config_dump("ecds_filters")["configs"][0]["version_info"] or 0)

    def gate_keys(self) -> list[bytes]:
        """Of each start, by the journal."""
        records = (record for group in read_groups(load_segments(self.home / "journal")) for record in group.records)
        entries = (parse_record(record) for record in records)
        return [one.gate_key.public_key for one in entries if isinstance(one, ProcessStart)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    try:
        yield made
    finally:
        for container in made.containers.values():
            container.clear()


@asynccontextmanager
async def calling(world: World) -> AsyncIterator["rpc.AdministrativeUnitServiceAsyncStub"]:
    """A provider, and a client's stub."""
    config = load_provider_config(world.instance.config(UNITS))
    server = serve(config, [(rpc.add_AdministrativeUnitServiceServicer_to_server, Units())])
    await server.start()
    try:
        async with connect(load_client_config(world.instance.config(CALLER))) as channel:
            yield rpc.AdministrativeUnitServiceStub(channel.using(purpose=PURPOSE, case_id="case-a1"))
    finally:
        await server.stop()


async def answered(units: "rpc.AdministrativeUnitServiceAsyncStub") -> bool:
    """Once the broker is there: it may be on its way."""
    for _ in range(60):
        try:
            return (await units.GetUnit(ask(), timeout=5)).unit.code.code == "01"
        except CallError as error:
            last = error
    raise last


async def test_calls_pass_while_either_container_dies_and_comes_back(world: World) -> None:
    world.start("keeper")
    envoy = world.start("envoy")
    async with calling(world) as units:
        assert await answered(units)
        world.instance.publish(now=datetime.now(UTC))
        wait_until(lambda: world.served() == 2)

        envoy.kill()
        envoy.ended()
        envoy = world.start("envoy")
        assert await answered(units)

        world.containers["keeper"].clear()
        assert await answered(units)
        world.instance.publish(now=datetime.now(UTC))
        world.start("keeper")
        wait_until(lambda: world.served() == 3)
        assert await answered(units)
    first, second = world.gate_keys()
    assert first != second

    assert world.start("keeper", "preStop").ended() == 0
    assert envoy.ended() == 0


def test_envoy_sees_of_the_broker_its_journal_and_what_was_made_for_it(world: World) -> None:
    world.start("keeper")
    key = (world.home / "signing-key.pem").read_text()
    look = "ls -A /var/lib/govbus /var/lib/govbus/home /run/govbus; ! touch /run/govbus/envoy/bootstrap.json 2>&1"
    seen = world.pod.start("envoy", ["sh", "-c", look])
    assert seen.ended() == 0
    *listed, refused = [line for line in seen.said.splitlines() if line]
    assert listed == ["/run/govbus:", "admin", "envoy", "/var/lib/govbus:", "home", "/var/lib/govbus/home:", "journal"]
    assert refused.endswith("Read-only file system")
    shared = [path for path in world.share.rglob("*") if path.is_file()]
    assert len(shared) > 8
    assert [path for path in shared if key.splitlines()[1].encode() in path.read_bytes()] == []


def test_envoy_waits_for_its_keeper_and_can_be_ended_meanwhile(world: World) -> None:
    world.start("keeper").clear()
    envoy = world.start("envoy")
    wait_until(lambda: "waits for a gate key" in envoy.said)
    envoy.kill(signal.SIGTERM)
    assert envoy.ended() != 0
    assert world.gate_keys() == []


@pytest.mark.soak
def test_instance_serves_by_an_envoy_of_another_container_and_ends_in_order(tmp_path: Path) -> None:
    """With a PostgreSQL of its own, and on loopback."""
    pod = Pod(workload("instance"), tmp_path / "a pod", capable="govbus")
    told = pod.containers["govbus"]
    local = {"--listen": free_port(), "--enrol-listen": free_port(), "--metrics": free_port()}
    told["args"] = [
        f"{name}=127.0.0.1:{local[name]}" if (name := word.partition("=")[0]) in local else word
        for word in [*told["args"], "--state=/var/lib/govbus/instance"]
    ]
    status = ["govbus", "status", "--serving", "--state=/var/lib/govbus/instance"]
    govbus = pod.start("govbus")
    started = [govbus]
    try:
        wait_until(lambda: pod.start("govbus", told["startupProbe"]["exec"]["command"]).ended() == 0)
        assert pod.start("govbus", status).ended() == 1
        started.append(envoy := pod.start("envoy"))
        wait_until(lambda: pod.start("govbus", status).ended() == 0)
        assert pod.start("govbus", told["lifecycle"]["preStop"]["exec"]["command"]).ended() == 0
        assert envoy.ended() == 0
        govbus.kill(signal.SIGTERM)
        assert govbus.ended() == 0
    finally:
        for container in started:
            container.clear()
