"""Starting, draining, health and the snapshot's renewal while calls run."""

import asyncio
import os
import signal
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]  # no stubs are locked for it
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.exchange import exceptions, serve
from bus.exchange.tls import TlsWatch
from native.policy import build_tables
from native.snapshot import SnapshotError
from pki.keys import generate_private_key
from pki.signer import KeySigner
from tests.bus.exchange.world import BROKER, CLIENT, OUTSIDER, PROVIDER, Units, World, ask, running

SERVING = health_pb2.HealthCheckResponse.SERVING


async def health(world: World, port: int, sender: str, service: str = "") -> Any:
    options = [("grpc.ssl_target_name_override", world.instance.subsystem(PROVIDER).dns_name)]
    credentials = TlsWatch(world.tls(sender)).material.client_credentials()
    async with aio.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        return await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=2
        )


async def test_health_is_told_to_brokers_and_to_nobody_else(world: World) -> None:
    async with running(world) as bus:
        for service in ("", "vn.administrative.v1.AdministrativeUnitService"):
            assert (await health(world, bus.server.port, BROKER, service)).status == SERVING
        for stranger in (OUTSIDER, CLIENT):
            with pytest.raises(aio.AioRpcError) as error:
                await health(world, bus.server.port, stranger)
            assert error.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_health_follows_what_lies_behind_the_servicers(world: World) -> None:
    async with running(world) as bus:
        for there, status in ((False, health_pb2.HealthCheckResponse.NOT_SERVING), (True, SERVING)):
            await bus.server.set_serving(there)
            for service in ("", "vn.administrative.v1.AdministrativeUnitService"):
                assert (await health(world, bus.server.port, BROKER, service)).status == status


async def test_draining_finishes_what_runs_and_refuses_what_comes(world: World) -> None:
    async with running(world) as bus:
        go = asyncio.Event()

        async def wait(_: Any) -> None:
            await go.wait()

        bus.units.behave = wait
        first = asyncio.ensure_future(bus.stub.GetUnit(ask()))
        await bus.units.arrived.wait()
        draining = asyncio.ensure_future(bus.server.stop(3))
        await asyncio.sleep(0.05)
        with pytest.raises(exceptions.Draining):
            await bus.stub.GetUnit(ask("02"), timeout=2.5)
        go.set()
        assert (await first).unit.code.code == "01"
        await draining
        assert len(bus.units.calls) == 1


async def test_sigterm_drains_and_ends_run(world: World) -> None:
    units = Units()
    registration = (rpc.add_AdministrativeUnitServiceServicer_to_server, units)
    server = serve(world.provider_config(), [registration])
    running_server = asyncio.ensure_future(server.run())
    while server.port == 0:  # noqa: ASYNC110 - run() says nothing before it ends
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running_server, 3)


async def test_policy_published_while_serving_is_used_by_both_sides_within_a_second(world: World) -> None:
    async with running(world) as bus:
        await bus.stub.GetUnit(ask())
        renamed = tuple(replace(grant, grant_id=f"new-{grant.grant_id}") for grant in world.tables.grants)
        bus.publish(grants=renamed)
        await asyncio.sleep(1.1)
        await bus.stub.GetUnit(ask())
        assert bus.units.calls[-1].grant_id == "new-grant-1"
        assert bus.units.calls[-1].snapshot_version == 2


async def test_new_key_of_a_client_is_known_at_once_by_reading_the_snapshot_again(world: World) -> None:
    async with running(world) as bus:
        without = tuple(key for key in world.tables.keys if key.subsystem != world.spiffe(CLIENT))
        everybody = world.tables.keys
        world.publish(keys=without)
        bus.server._snapshot.refresh()
        world.publish(keys=everybody)
        await bus.stub.GetUnit(ask())
        assert bus.server._snapshot.current.version == 3


@pytest.mark.parametrize("wrong", ["older", "other-key", "other-scope", "cut", "gone"])
async def test_snapshot_that_does_not_verify_changes_nothing(world: World, wrong: str) -> None:
    world.publish()
    async with running(world) as bus:
        path, scope = world.snapshot_path(PROVIDER), world.spiffe(PROVIDER)
        tables = build_tables(replace(world.tables, grants=()))
        if wrong == "older":
            world.write_snapshot(path, tables, scope, 1)
        elif wrong == "other-key":
            world.write_snapshot(path, tables, scope, 9, KeySigner(generate_private_key()))
        elif wrong == "other-scope":
            world.write_snapshot(path, tables, world.spiffe(OUTSIDER), 9)
        elif wrong == "cut":
            path.write_bytes(path.read_bytes()[:-64])
        else:
            path.unlink()
        assert not bus.server._snapshot.refresh()
        await bus.stub.GetUnit(ask())
        assert bus.server._snapshot.current.version == 2


async def test_serving_does_not_start_on_a_snapshot_that_does_not_verify(world: World) -> None:
    world.write_snapshot(
        world.snapshot_path(PROVIDER),
        build_tables(world.tables),
        world.spiffe(PROVIDER),
        9,
        KeySigner(generate_private_key()),
    )
    with pytest.raises(SnapshotError) as error:
        serve(world.provider_config(), [(rpc.add_AdministrativeUnitServiceServicer_to_server, Units())])
    assert error.value.reason == "signature"


async def test_batches_grow_under_load_and_are_told(world: World) -> None:
    async with running(world) as bus:
        await asyncio.gather(*(bus.stub.GetUnit(ask()) for _ in range(60)))
        assert bus.channel.mean_batch_size > 2
        assert bus.channel.signatures_made < 60
        for _ in range(50):  # how many answers are ready at one moment is the machine's to decide
            if bus.server.mean_batch_size > 1:
                break
            await asyncio.gather(*(bus.stub.GetUnit(ask()) for _ in range(60)))
        assert bus.server.mean_batch_size > 1
