"""What is revoked is in force within moments, at the gate and at providers; other CAs come without a call failing."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bus.exchange import (  # isort: skip - before gRPC
    CallError,
    Reason,
    connect_blocking,
    load_client_config,
    load_provider_config,
    serve,
)

import pytest
from govbus.registry.v1 import directory_pb2, directory_pb2_grpc
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.registry.change import Change
from bus.registry.enrolment import certificate_added
from bus.registry.grants import GrantMade
from bus.registry.keys import CertificateRevoked, IssuerRevoked, SigningKeyRevoked
from bus.registry.service_run import REGISTRY_PATH
from bus.registry.subsystems import SubsystemRevoked
from pki.certificates import build_csr
from pki.credentials import load_credentials, store_credentials
from pki.identity import SubsystemId
from pki.keys import encode_private_key, generate_private_key
from pki.signer import FileSigner
from pki.succession import add_issuer, add_root, ca_id, retire_root
from pki.trust import TrustBundle
from tests.integration.world import BROKER, CALLER, Units, ask
from tests.support.elsewhere import HOUR, NEWCOMER, READ, UNITS_SERVICE, VICTIMS, Elsewhere
from tests.support.joined import snapshot_of, wait_until
from tests.support.registered import now_ms


@pytest.fixture
def world(elsewhere: Elsewhere) -> Elsewhere:
    """The session's."""
    return elsewhere


def read(view: Any) -> None:
    directory_pb2_grpc.DirectoryServiceStub(view).ListMembers(directory_pb2.ListMembersRequest(), timeout=30)


def refused(view: Any) -> Reason | None:
    """Why it cannot read; None if it can."""
    try:
        read(view)
    except CallError as error:
        return error.reason
    return None


def revocation(world: Elsewhere, victim: str) -> Change:
    """What its name says."""
    state = world.joined.registry.state()
    (digest,) = state.subsystems[victim].certificates
    (key_id,) = (one for one, key in state.keys.items() if key.subsystem == victim)
    issuer = state.certificates[digest].issuer
    assert sum(one.issuer == issuer for one in state.certificates.values()) == 1 or victim != VICTIMS[-1]
    changes = CertificateRevoked(digest), SigningKeyRevoked(key_id), SubsystemRevoked(victim), IssuerRevoked(issuer)
    return dict(zip(VICTIMS, changes, strict=True))[victim]


@pytest.mark.parametrize("victim", VICTIMS)
def test_what_is_revoked_stops_at_the_gate_on_open_connections_and_at_providers(world: Elsewhere, victim: str) -> None:
    reason = Reason.KEY_NOT_VALID if victim.endswith("/key") else Reason.CERTIFICATE_NOT_LIVE
    with connect_blocking(load_client_config(world.victims[victim] / "config.yaml")) as channel:
        view = channel.using(purpose=READ, case_id="case-1")
        assert refused(view) is None
        world.joined.record(revocation(world, victim))
        took = wait_until(lambda: refused(view) is reason, f"{reason} for {victim}")
        print(f"revoking {victim.rpartition('/')[2]} was in force at the gate after {took:.2f} s")
    if victim.endswith(("/key", "/subsystem")):
        wait_until(lambda: not believed_by_providers(world, victim), "the provider's own part of the policy")


def believed_by_providers(world: Elsewhere, victim: str) -> bool:
    """Whether the registry, as a provider that trusts no broker, would still take its requests."""
    view = snapshot_of(world.joined.instance.home(REGISTRY_PATH)).current
    key = view.key(FileSigner.load(world.victims[victim] / "signing-key.pem").key_id)
    subsystem = view.subsystem(world.joined.instance.subsystem_id(victim).spiffe_id)
    return key is not None and key.not_after_ms >= now_ms() and subsystem is not None and subsystem.active


@contextmanager
def calling(*reads: Callable[[], Any]) -> Iterator[list[int]]:
    """Each again and again until the end; whatever one raises is raised there. Counts."""
    counts, stop = [0] * len(reads), threading.Event()

    def go_on(number: int) -> None:
        while not stop.is_set():
            reads[number]()
            counts[number] += 1
            time.sleep(0.01)

    with ThreadPoolExecutor(len(reads)) as pool:
        tasks = [pool.submit(go_on, number) for number in range(len(reads))]
        try:
            yield counts
        finally:
            stop.set()
        for task in tasks:
            task.result()


@contextmanager
def serving(home: Path) -> Iterator[None]:
    """The administrative units, on a thread of their own."""
    ready, stop = threading.Event(), threading.Event()

    async def run() -> None:
        servicers = [(rpc.add_AdministrativeUnitServiceServicer_to_server, Units())]
        async with serve(load_provider_config(home / "config.yaml"), servicers):
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(60)
        yield
    finally:
        stop.set()
        thread.join()


def roots_of(home: Path, trust_domain: str) -> int:
    return len(TrustBundle.verify_pem(trust_domain, (home / "trust.pem").read_bytes()).roots)


def reached(counts: list[int], goal: int) -> bool:
    return sum(counts) > goal


def reissue(world: Elsewhere, subsystem: SubsystemId, home: Path) -> bytes:
    """A certificate by the current issuing CA, recorded, in force, and then used; its issuer's id."""
    authority, key = world.joined.authority(), generate_private_key()
    issued = authority.issue_from_csr(build_csr(key, subsystem), subsystem, now=datetime.now(UTC))
    position = world.joined.record(certificate_added(issued, authority))
    publisher, broker = world.joined.publisher, world.joined.broker
    wait_until(lambda: publisher.last is not None and publisher.last.log_position >= position, "publication")
    version = publisher.last.version if publisher.last else 0
    wait_until(lambda: broker.snapshot_version >= version, "the broker's snapshot")
    time.sleep(1)  # offered to the gate, which verifies and swaps
    store_credentials(home, encode_private_key(key), issued.chain_pem, authority.trust.pem)
    return ca_id(authority.issuer.certificate)


def test_root_is_replaced_while_calls_go_on(world: Elsewhere) -> None:
    """Two roots are believed while everybody goes over to the new one; then the former one is believed no longer."""
    instance, joined = world.joined.instance, world.joined
    domain, state = instance.trust_domain, instance.state
    homes = [instance.broker_home(BROKER), instance.home(REGISTRY_PATH), world.home, instance.home(CALLER)]
    joined.record(
        GrantMade(
            "units-elsewhere",
            CALLER,
            NEWCOMER,
            (f"/{UNITS_SERVICE}/GetUnit",),
            ("succession",),
            now_ms(),
            now_ms() + HOUR,
        )
    )
    with ExitStack() as stack:
        stack.enter_context(serving(world.home))
        channels = [
            stack.enter_context(connect_blocking(load_client_config(home / "config.yaml")))
            for home in (world.home, instance.home(CALLER))
        ]
        reading = channels[0].using(purpose=READ, case_id="case-1")
        said: dict[str, Any] = {"purpose": "succession", "case_id": "case-1", "grant_id": "units-elsewhere"}
        units = rpc.AdministrativeUnitServiceStub(
            channels[1].using(provider=world.newcomer.subsystem.spiffe_id, **said)
        )

        def ready() -> bool:
            try:
                units.GetUnit(ask(), timeout=30)
            except CallError:
                return False
            return True

        wait_until(ready, "the grant")
        former = joined.authority().issuer.root
        counts = stack.enter_context(calling(partial(read, reading), lambda: units.GetUnit(ask(), timeout=30)))
        add_root(state, domain, now=datetime.now(UTC))
        wait_until(lambda: all(roots_of(home, domain) == 2 for home in homes), "two roots in every home")
        time.sleep(1)  # runtimes and Envoy have read it
        add_issuer(state, domain, now=datetime.now(UTC))
        for subsystem, home in (
            (world.newcomer.subsystem, world.home),
            (instance.subsystem_id(BROKER), instance.broker_home(BROKER)),
            (instance.subsystem_id(CALLER), instance.home(CALLER)),
            (instance.subsystem_id(REGISTRY_PATH), instance.home(REGISTRY_PATH)),
        ):
            goal = sum(counts) + 50
            assert reissue(world, subsystem, home) == ca_id(joined.authority().issuer.certificate)
            wait_until(partial(reached, counts, goal), "calls after the change")
        retire_root(state, domain, ca_id(former), now=datetime.now(UTC))
        wait_until(lambda: all(roots_of(home, domain) == 1 for home in homes), "one root in every home")
        wait_until(partial(reached, counts, sum(counts) + 50), "calls after the end of the former root")
        assert min(counts) > 20
    for home in homes:
        load_credentials(home, domain, now=datetime.now(UTC))  # verified under the one root that is left
