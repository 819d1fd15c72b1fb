"""Whose certificate left the snapshot is sent nothing, however valid its chain (protocol.md 1): broker to provider."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from bus.exchange.reasons import Reason
from pki.authority import Authority
from pki.credentials import issue_credentials
from pki.trust import parse_pem_certificates
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_nation import PROVIDER
from tests.support.raw_provider_answers import honest, waiting


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("certified") / "a state") as world:
        yield world
        world.settle()


def issue(world: World, home: Path) -> None:
    """A new certificate of PROVIDER for a new key, into `home`; nobody is told of it."""
    authority = Authority.open(world.instance.state, world.instance.trust_domain, now=datetime.now(UTC))
    issue_credentials(authority, world.instance.subsystem_id(PROVIDER), home, now=datetime.now(UTC))


def digest(home: Path) -> bytes:
    return sha256(parse_pem_certificates((home / "tls" / "chain.pem").read_bytes())[0]).digest()


def list_live(world: World, *digests: bytes) -> None:
    """Make these the live certificates of PROVIDER, in force at the gate and in Envoy's cluster."""
    not_after = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    updates = cluster_updates(world)
    with world.policy() as document:
        (entry,) = (one for one in document["subsystems"] if one["id"] == PROVIDER)
        entry["certificates"] = [{"sha256": one.hex(), "not_after": not_after} for one in digests]
    eventually(lambda: cluster_updates(world) > updates)


def cluster_updates(world: World) -> int:
    """How often a cluster was made anew and is in use."""
    admin = world.broker.envoy.admin
    stats = admin.stats("cluster_manager\\.(cluster_modified|warming_clusters)")
    return 0 if stats["cluster_manager.warming_clusters"] else stats["cluster_manager.cluster_modified"]


@contextmanager
def in_flight(world: World) -> Iterator[None]:
    """A call that is with the provider when this begins and is answered after it ends."""
    begun, go = threading.Event(), threading.Event()
    world.provider.behaviour = waiting(begun, go)
    request = world.request()
    with ThreadPoolExecutor(1) as pool, world.connect() as connection:
        answer = pool.submit(connection.call, request.headers(), request.body)
        assert begun.wait(10)
        world.provider.behaviour = honest
        try:
            yield
        finally:
            go.set()
        assert answer.result(10).code == 0


def test_renewal_fails_no_call_before_during_or_after(certified: World) -> None:
    world, home = certified, certified.provider.home
    old = digest(home)
    world.answers(world.request())
    issue(world, home)
    new = digest(home)
    assert new != old
    with in_flight(world):
        list_live(world, old, new)
        world.answers(world.request())
    world.provider.restart()
    world.answers(world.request())
    with in_flight(world):
        list_live(world, new)
        world.answers(world.request())
    world.answers(world.request())


def test_certificate_that_was_revoked_is_sent_nothing_more_on_an_open_connection(certified: World) -> None:
    world, live = certified, digest(certified.provider.home)
    world.answers(world.request())
    list_live(world, sha256(b"another").digest())
    touched = world.provider.calls
    world.fails(world.request(), Reason.PROVIDER_UNREACHABLE)
    list_live(world)
    world.fails(world.request(), Reason.PROVIDER_UNREACHABLE)
    assert world.provider.calls == touched
    list_live(world, live)
    eventually(lambda: world.send(world.request()).code == 0)


def test_valid_certificate_that_the_snapshot_does_not_list_is_sent_nothing(certified: World, tmp_path: Path) -> None:
    """Who holds a stolen or wrongly issued certificate and sits at the provider's address: chain and name are right."""
    world, home = certified, certified.provider.home
    stolen = tmp_path / "stolen"
    stolen.mkdir(mode=0o700)
    issue(world, stolen)
    world.provider.home = stolen
    world.provider.restart()
    touched = world.provider.calls
    world.fails(world.request(), Reason.PROVIDER_UNREACHABLE)
    assert world.provider.calls == touched
    world.provider.home = home
    world.provider.restart()
    eventually(lambda: world.send(world.request()).code == 0)
