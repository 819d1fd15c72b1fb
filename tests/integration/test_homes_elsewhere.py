"""A subsystem whose home no publisher reaches: policy, certificate and signing key come through the bus alone."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from govbus.registry.v1 import directory_pb2, directory_pb2_grpc, renewal_pb2, renewal_pb2_grpc
from vn.administrative.v1 import administrative_pb2_grpc

from bus.exchange.blocking import BlockingView
from bus.exchange.rotation import next_key_path
from bus.registry.grants import GrantMade, GrantRevoked
from bus.registry.own_grants import RENEWAL_PURPOSE
from bus.registry.rotation import OVERLAP_MS
from bus.registry.service_run import REGISTRY_PATH
from native.codec import decode_signature
from native.snapshot import SnapshotError
from pki.enrolment import prove_possession
from pki.keys import generate_private_key
from pki.signer import FileSigner, KeySigner
from tests.integration.world import CALLER, Units, ask
from tests.support.elsewhere import HOUR, LIST, NEWCOMER, READ, UNITS_SERVICE, Elsewhere
from tests.support.joined import snapshot_of, wait_until
from tests.support.registered import now_ms


@pytest.fixture
def world(elsewhere: Elsewhere) -> Elsewhere:
    """The session's."""
    return elsewhere


@contextmanager
def client(world: Elsewhere) -> Iterator[BlockingView]:
    """The newcomer as a client, awake."""
    with connect_blocking(load_client_config(world.home / "config.yaml")) as channel:
        view = channel.using(purpose=READ, case_id="case-1")
        read(view)
        yield view


def read(view: Any) -> None:
    directory_pb2_grpc.DirectoryServiceStub(view).ListMembers(directory_pb2.ListMembersRequest(), timeout=30)


def reflects(home: Path, position: int) -> bool:
    """Whether the snapshot in a home is of this position of the log, or later."""
    return snapshot_of(home).current.header.log_position >= position


def reason_of(call: Callable[[], Any]) -> Reason | None:
    try:
        call()
    except CallError as error:
        return error.reason
    return None


def test_snapshot_follows_the_registry_with_nothing_but_the_bus(world: Elsewhere) -> None:
    with client(world):
        for number in range(3):
            position = world.joined.record(
                GrantMade(f"more-{number}", NEWCOMER, REGISTRY_PATH, (LIST,), ("other",), now_ms(), now_ms() + HOUR)
            )
            began = time.monotonic()
            wait_until(partial(reflects, world.home, position), "the newer snapshot")
            print(f"in force elsewhere after {time.monotonic() - began:.2f} s")
        before = snapshot_of(world.home).current.version
        position = world.joined.record(GrantRevoked("more-0"))
        wait_until(partial(reflects, world.home, position), "the revocation")
        assert snapshot_of(world.home).current.version > before


def test_floor_survives_a_restart(world: Elsewhere) -> None:
    """What was served is not served again once a newer one was, also by the next process."""
    path = world.home / "snapshot.bin"
    old = path.read_bytes()
    with client(world):
        position = world.joined.record(
            GrantMade("floor", NEWCOMER, REGISTRY_PATH, (LIST,), ("other",), now_ms(), now_ms() + HOUR)
        )
        floor = world.home / "snapshot-floor.json"
        wait_until(lambda: floor.exists() and json.loads(floor.read_bytes())["log_position"] >= position, "the floor")
    new = path.read_bytes()
    try:
        path.write_bytes(old)
        with pytest.raises(SnapshotError):
            connect_blocking(load_client_config(world.home / "config.yaml"))
    finally:
        path.write_bytes(new)


def test_policy_too_old_to_serve_from_does_not_stop_its_own_replacement(world: Elsewhere) -> None:
    """Off for a day: neither age nor unknown keys of brokers and registry keep the newest policy away."""
    from bus.exchange.fetch import SnapshotFetcher
    from bus.exchange.signing_key import SigningKeyFile

    identity = load_client_config(world.home / "config.yaml").identity
    snapshot = snapshot_of(world.home)
    position = world.joined.record(
        GrantMade("late", NEWCOMER, REGISTRY_PATH, (LIST,), ("other",), now_ms(), now_ms() + HOUR)
    )
    wait_until(
        lambda: world.joined.publisher.last is not None and world.joined.publisher.last.log_position >= position,
        "",
    )
    fetcher = SnapshotFetcher(identity, SigningKeyFile(identity.signing_key), snapshot)
    assert asyncio.run(fetcher.once())
    assert snapshot.current.header.log_position >= position


def test_provider_elsewhere_asks_at_once_for_a_grant_it_does_not_know(world: Elsewhere) -> None:
    """The gate admits by a policy that the provider has not heard of: it asks before it answers."""

    async def serve_and_call() -> None:
        servicers = [(administrative_pb2_grpc.add_AdministrativeUnitServiceServicer_to_server, Units())]
        async with serve(load_provider_config(world.home / "config.yaml"), servicers):
            for number in range(3):
                position = world.joined.record(
                    GrantMade(
                        f"fresh-{number}",
                        CALLER,
                        NEWCOMER,
                        (f"/{UNITS_SERVICE}/GetUnit",),
                        (f"fresh-{number}",),
                        now_ms(),
                        now_ms() + HOUR,
                    )
                )
                await asyncio.to_thread(call_new_grant, f"fresh-{number}", position)

    def call_new_grant(name: str, position: int) -> None:
        home = world.joined.instance.home(CALLER)
        wait_until(partial(reflects, home, position), "the caller's snapshot")
        version = world.joined.publisher.last.version if world.joined.publisher.last else 0
        wait_until(lambda: world.joined.broker.snapshot_version >= version, "the broker's snapshot")
        with connect_blocking(load_client_config(world.joined.instance.config(CALLER))) as channel:
            view = channel.using(
                purpose=name, case_id="case-1", provider=world.newcomer.subsystem.spiffe_id, grant_id=name
            )
            stub = administrative_pb2_grpc.AdministrativeUnitServiceStub(view)
            # Offered to Envoy is not yet swapped by the gate: its own NO_GRANT may come for a moment.
            wait_until(lambda: reason_of(lambda: stub.GetUnit(ask(), timeout=20)) is not Reason.NO_GRANT, "the grant")
            stub.GetUnit(ask(), timeout=20)

    asyncio.run(serve_and_call())


def renewal(world: Elsewhere, view: Any) -> Any:
    return renewal_pb2_grpc.RenewalServiceStub(view.using(purpose=RENEWAL_PURPOSE, idempotency_key=""))


def request(world: Elsewhere, key: KeySigner, **changed: Any) -> renewal_pb2.RotateKeyRequest:
    """Right, but for what is changed."""
    now = now_ms()
    said: dict[str, Any] = {
        "spki": key.spki,
        "first": now,
        "last": now + HOUR,
        "subsystem": world.newcomer.subsystem,
    }
    said |= {"signer": key} | changed
    proof = prove_possession(said["signer"], said["subsystem"], said["spki"], said["first"], said["last"])
    return renewal_pb2.RotateKeyRequest(
        signing_key_spki=said["spki"],
        signing_key_not_before_ms=said["first"],
        signing_key_not_after_ms=said["last"],
        possession=said.get("possession", proof),
    )


def test_key_that_may_not_enter_is_refused_by_its_reason(world: Elsewhere) -> None:
    stranger = KeySigner(generate_private_key())
    fresh = KeySigner(generate_private_key())
    others = FileSigner.load(world.joined.instance.home(CALLER) / "signing-key.pem")
    own = FileSigner.load(world.home / "signing-key.pem")
    now = now_ms()
    refused = [
        (request(world, own), Reason.KEY_KNOWN),
        (request(world, others), Reason.KEY_KNOWN),
        (request(world, fresh, spki=fresh.spki[:-1]), Reason.KEY_WEAK),
        (request(world, fresh, spki=b""), Reason.KEY_WEAK),
        (request(world, fresh, signer=stranger), Reason.POSSESSION_UNPROVEN),
        (request(world, fresh, possession=b""), Reason.POSSESSION_UNPROVEN),
        (
            request(world, fresh, subsystem=world.joined.instance.subsystem_id(CALLER)),
            Reason.POSSESSION_UNPROVEN,
        ),
        (request(world, fresh, last=now + 3 * 366 * 24 * HOUR), Reason.KEY_VALIDITY),
        (request(world, fresh, last=now - HOUR, first=now - 2 * HOUR), Reason.KEY_VALIDITY),
        (request(world, fresh, last=now + 5_000), Reason.KEY_VALIDITY),
    ]
    before = world.joined.registry.state().position
    with client(world) as view:
        stub = renewal(world, view)
        for asked, reason in refused:
            assert reason_of(partial(stub.RotateKey, asked, timeout=20)) is reason, reason
    assert world.joined.registry.state().position == before


def test_rotation_that_nobody_notices(world: Elsewhere) -> None:
    """Calls go on without a failure while the key is made, announced, in force and taken up; the former one ends."""
    former = FileSigner.load(world.home / "signing-key.pem").key_id
    calls, stop = [0], threading.Event()
    signed_by: set[bytes] = set()

    def call_on(view: BlockingView) -> None:
        while not stop.is_set():
            read(view)
            calls[0] += 1
            time.sleep(0.01)

    with client(world) as view, ThreadPoolExecutor(2) as pool:
        watched = view.using(on_evidence=lambda found: signed_by.add(decode_signature(found.request_signature).key_id))
        callers = [pool.submit(call_on, watched) for _ in range(2)]
        try:
            coming = FileSigner.load_or_create(next_key_path(world.home / "signing-key.pem"))
            wait_until(
                lambda: FileSigner.load(world.home / "signing-key.pem").key_id == coming.key_id,
                "the new key in use",
            )
            time.sleep(1.5)
            recorded = world.joined.registry.state()
            keys = recorded.keys
            assert keys[coming.key_id].subsystem == NEWCOMER
            assert keys[former].last_ms == keys[coming.key_id].not_before_ms + OVERLAP_MS
            again = KeySigner(generate_private_key())
            assert reason_of(lambda: renewal(world, view).RotateKey(request(world, again))) is Reason.ROTATION_RUNNING
            # Who died after announcing, and asks again, learns that it was heard.
            known = request(world, coming)
            assert reason_of(lambda: renewal(world, view).RotateKey(known)) is Reason.KEY_KNOWN
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    assert calls[0] > 20
    assert signed_by == {former, coming.key_id}
    assert not next_key_path(world.home / "signing-key.pem").exists()
