"""More than one broker: one that enrolled runs from a home of its own, and clients go on when one is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bus.exchange import BrokerAddress, connect_blocking, load_client_config, load_provider_config, serve  # isort: skip

import asyncio

import pytest
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.edge.broker_file import load_broker_config
from bus.registry.members import MemberAdded
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from tests.integration.world import BROKER, CALLER, PURPOSE, UNITS, Units, ask
from tests.support.elsewhere import SECOND, Elsewhere
from tests.support.joined import snapshot_of, wait_until


@pytest.fixture
def world(elsewhere: Elsewhere) -> Elsewhere:
    """The session's."""
    return elsewhere


@pytest.fixture(scope="module")
def second(elsewhere: Elsewhere) -> Iterator["subprocess.Popen[str]"]:
    """`govbus broker run`, ready; ended in order, if it still runs."""
    command = [str(Path(sys.executable).with_name("govbus")), "broker", "run", str(elsewhere.broker_home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"ready: {SECOND}")
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


@contextmanager
def provider(world: Elsewhere) -> Iterator[None]:
    """UNITS serves, on a thread of its own."""
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        servicers = [(rpc.add_AdministrativeUnitServiceServicer_to_server, Units())]
        async with serve(load_provider_config(world.joined.instance.config(UNITS)), servicers):
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_enrolled_broker_has_what_a_broker_needs_and_follows_the_policy(
    world: Elsewhere, second: "subprocess.Popen[str]"
) -> None:
    config = load_broker_config(world.broker_home)
    assert str(config.listen) == world.broker_address
    assert load_client_config(world.broker_home / "config.yaml").brokers == (
        BrokerAddress(
            world.joined.instance.subsystem_id(BROKER).spiffe_id,
            str(world.joined.registry.state().subsystems[BROKER].endpoints[0]),
        ),
    )
    position = world.joined.record(MemberAdded("gov", "mof", "Bộ Tài chính", "Finance"))
    took = wait_until(
        lambda: snapshot_of(world.broker_home).current.header.log_position >= position, "the whole policy at broker-2"
    )
    print(f"the whole policy at the other broker after {took:.2f} s")
    endpoints = (world.joined.instance.state / "snapshots" / "endpoints.json").read_bytes()
    assert (world.broker_home / "endpoints.json").read_bytes() == endpoints


def test_suspended_broker_is_told_nothing_new(world: Elsewhere, second: "subprocess.Popen[str]") -> None:
    """It has the whole policy of the country. Resumed, it is told again."""
    suspended = world.joined.record(SubsystemSuspended(SECOND))
    # The question that it has waiting is still answered, by whatever is published next.
    wait_until(lambda: snapshot_of(world.broker_home).current.header.log_position >= suspended, "its suspension there")
    published = world.joined.publisher
    position = world.joined.record(MemberAdded("gov", "moc", "Bộ Xây dựng", "Construction"))
    wait_until(lambda: published.last is not None and published.last.log_position >= position, "publication")
    time.sleep(1)
    assert snapshot_of(world.broker_home).current.header.log_position < position
    position = world.joined.record(SubsystemResumed(SECOND))
    wait_until(lambda: snapshot_of(world.broker_home).current.header.log_position >= position, "the policy again")


def test_client_of_two_brokers_goes_on_when_one_is_killed(world: Elsewhere, second: "subprocess.Popen[str]") -> None:
    """Every call is answered: what finds its broker gone asks the other one."""
    instance = world.joined.instance
    config = load_client_config(instance.config(CALLER))
    other = BrokerAddress(instance.subsystem_id(SECOND).spiffe_id, world.broker_address)
    used: set[str] = set()
    with (
        provider(world),
        connect_blocking(replace(config, brokers=(*config.brokers, other))) as channel,
    ):
        stub = rpc.AdministrativeUnitServiceStub(
            channel.using(
                purpose=PURPOSE,
                case_id="case-1",
                # An attempt that was on its way when its broker died leaves evidence without a receipt.
                on_evidence=lambda found: used.add(broker_of(found.receipt)) if found.receipt else None,
            )
        )
        end = time.monotonic() + 60
        while len(used) < 2 and time.monotonic() < end:
            stub.GetUnit(ask(), timeout=30)
        assert used == {instance.subsystem_id(BROKER).spiffe_id, other.spiffe_id}
        for child in children(second.pid):
            os.kill(child, signal.SIGKILL)
        second.kill()
        second.wait(60)
        for _ in range(100):
            assert stub.GetUnit(ask(), timeout=30).unit.name


def broker_of(receipt: bytes) -> str:
    from native.codec import decode_receipt

    return decode_receipt(receipt).broker


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    tasks = [Path(one) / "children" for one in Path(f"/proc/{pid}/task").iterdir()]
    return sorted({int(one) for path in tasks for one in path.read_text().split()} | set(map(int, found)))
