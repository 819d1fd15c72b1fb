"""A subsystem that waits for its snapshot a hundred times at once must not take everybody's place at the registry."""

import asyncio
import time
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from govbus.registry.v1 import renewal_pb2 as pb

from bus.edge.snapshot_files import peek_header
from bus.exchange.context import IncomingCall, begin_serving
from bus.registry.enrolment import Enroller
from bus.registry.rotation import Rotator
from bus.registry.service_renewal import Renewal
from bus.registry.service_snapshots import Published
from pki.authority import Authority
from tests.bus.edge.test_publisher import World, world
from tests.support.nation import CALLER, OTHER, PROVIDER
from tests.support.registered import now_ms

__all__ = ["world"]

ASKED = 100
WAITING = 16


def as_client(client: str) -> IncomingCall:
    return IncomingCall(bytes(16), client, "", "", "", "", "", "", "", "", 1, 1, 1, time.monotonic() + 300)


def test_waits_of_one_subsystem_are_few_and_the_rest_are_answered_at_once(world: World) -> None:
    asyncio.run(ask_too_often(world))


async def ask_too_often(world: World) -> None:
    with world.publisher():
        pass
    authority = Authority.open(world.instance.state, world.instance.trust_domain, now=datetime.now(UTC))
    trust = world.instance.home(PROVIDER) / "trust.pem"
    published = Published(world.instance.state / "snapshots", trust)
    renewal = Renewal(
        world.registry,
        Enroller(world.registry, lambda: authority, lambda _: True, now_ms),
        Rotator(world.registry, lambda _: True, now_ms),
        published,
        lambda _: None,
    )

    def ask(path: str) -> "asyncio.Task[Any]":
        async def served() -> Any:
            begin_serving(as_client(world.instance.subsystem_id(path).spiffe_id))
            known = peek_header((world.instance.home(path) / "snapshot.bin").read_bytes()).version
            digest = sha256(trust.read_bytes()).digest()
            request = pb.GetSnapshotRequest(
                known_version=known,
                known_trust_sha256=digest,
                known_endpoints_sha256=sha256().digest(),
                wait_ms=200_000,
            )
            return await renewal.GetSnapshot(request, None)

        return asyncio.create_task(served())

    greedy, patient = [ask(CALLER) for _ in range(ASKED)], ask(OTHER)
    end = time.monotonic() + 60
    while sum(one.done() for one in greedy) < ASKED - WAITING:
        assert time.monotonic() < end, "everybody of one subsystem waits"
        await asyncio.sleep(0.05)
    assert all(not one.result().data for one in greedy if one.done())
    assert sum(not one.done() for one in greedy) == WAITING
    assert not patient.done()
    published.end()
    await asyncio.gather(*greedy, patient)
