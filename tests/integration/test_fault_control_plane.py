"""The control plane breaks and calls go on: services stopped, PostgreSQL hung and killed, policies damaged."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bus.registry.service_run import REGISTRY_PATH, RegistryServices  # isort: skip - before gRPC

import pytest

from bus.edge.snapshot_files import compile_snapshots
from bus.registry.enrolment import issue_token, root_digest
from bus.registry.enrolment_client import enrol
from bus.registry.grants import GrantMade
from bus.registry.policy import policy_document
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from native.snapshot import BROKER_SCOPE
from pki.authority import Authority
from pki.files import write_atomic
from pki.keys import generate_private_key
from pki.signer import FileSigner, KeySigner
from tests.integration.live import Live
from tests.support.live import ACT, BROKER, BYSTANDER, CALLER, METHODS, PURPOSE, UNITS, home_of, wait_until
from tests.support.registered import now_ms


def services(live: Live) -> RegistryServices:
    layout, domain = live.layout, live.running.facts.trust_domain
    return RegistryServices(
        layout.state,
        live.running.registry,
        lambda: Authority.open(layout.state, domain, now=datetime.now(UTC)),
        FileSigner.load(layout.policy_signing_key).public_point,
        now_ms,
        path=REGISTRY_PATH,
    )


def test_registrys_services_stopped_calls_go_on_and_started_again_they_serve(live: Live) -> None:
    running = live.running
    assert live.parts.services is not None
    with live.load() as load:
        load.goes_on()
        live.parts.services.stop()
        load.goes_on(100)
        # On the machine itself the log is still written, and followed.
        live.put_in_force(SubsystemSuspended(BYSTANDER))
        live.put_in_force(SubsystemResumed(BYSTANDER))
        with services(live) as again:
            token = issue_token(
                running.registry,
                BYSTANDER,
                ACT,
                server=REGISTRY_PATH,
                address=str(again.enrolment),
                root=root_digest(Authority.open(live.layout.state, running.facts.trust_domain, now=datetime.now(UTC))),
                secret=os.urandom(32),
                now_ms=now_ms(),
            )
            assert enrol(token.text, home_of(live.layout, BYSTANDER), clock_ms=now_ms).subsystem.path == BYSTANDER
        load.goes_on()
    assert load.failed == []


def test_postgresql_hung_and_killed_calls_go_on_and_changes_come_back_by_themselves(live: Live) -> None:
    pid = live.pid("postgres")
    with live.load() as load:
        load.goes_on()
        os.kill(pid, signal.SIGSTOP)
        load.goes_on(100)
        os.kill(pid, signal.SIGKILL)
        load.goes_on(50)
        live.wait_restarted("postgres", pid)
        live.put_in_force(SubsystemSuspended(BYSTANDER))
        live.put_in_force(SubsystemResumed(BYSTANDER))
        load.goes_on()
    assert load.failed == []


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@dataclass(frozen=True)
class Reader:
    """Somebody who follows a snapshot in its home."""

    scope: str
    target: Path
    refusals: Callable[[], int]
    """How often it has said that it does not use a file."""


def readers_of(live: Live, caplog: pytest.LogCaptureFixture) -> list[Reader]:
    """The provider, in a process of its own; the client and the broker's control plane, in this one."""
    unused = "the replaced snapshot is not used"
    units, caller = home_of(live.layout, UNITS), home_of(live.layout, CALLER)
    return [
        Reader(live.spiffe(UNITS), units / "snapshot.bin", lambda: live.provider.log.read_text().count(unused)),
        Reader(live.spiffe(CALLER), caller / "snapshot.bin", lambda: caplog.text.count(unused)),
        Reader(
            BROKER_SCOPE,
            live.layout.broker_home(BROKER) / "snapshot.bin",
            lambda: caplog.text.count("the replaced policy is not used"),
        ),
    ]


def by_a_stranger(live: Live, scope: str) -> bytes:
    """What the registry says now, as the next version, signed by another key."""
    state = live.running.registry.state()
    document, signer = policy_document(state, now_ms()), KeySigner(generate_private_key())
    compiled = compile_snapshots(
        document, signer, version=live.running.version + 1, log_position=state.position, now_ms=now_ms()
    )
    return compiled.snapshots[scope]


def another_grant() -> GrantMade:
    """Changes what each of the three readers is told."""
    now = now_ms()
    return GrantMade(f"more-{now}", CALLER, UNITS, METHODS, (PURPOSE,), now, now + 3_600_000)


def test_damaged_policy_is_used_by_nobody_and_replaced_by_itself(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    readers = readers_of(live, caplog)
    older = [reader.target.read_bytes() for reader in readers]
    live.put_in_force(another_grant())
    newest = [reader.target.read_bytes() for reader in readers]
    assert all(one != other for one, other in zip(older, newest, strict=True))
    damages: dict[str, list[bytes]] = {
        "cut": [data[:-1] for data in newest],
        "empty": [b"" for _ in newest],
        "a bit flipped": [flipped(data) for data in newest],
        "older": older,
        "signed by another key": [by_a_stranger(live, reader.scope) for reader in readers],
    }
    with live.load() as load:
        load.goes_on()
        for bad in damages.values():
            before = [reader.refusals() for reader in readers]
            wait_until(partial(lay_and_look, readers, bad, before))
            load.goes_on()
        wait_until(lambda: [reader.target.read_bytes() for reader in readers] == newest)
        live.put_in_force(another_grant())
        load.goes_on()
    assert load.failed == []


def lay_and_look(readers: list[Reader], bad: list[bytes], before: list[int]) -> bool:
    """Lay the files there; whether each reader has refused its own by now. The publisher may replace them first."""
    waiting = [at for at, reader in enumerate(readers) if reader.refusals() == before[at]]
    for at in waiting:
        write_atomic(readers[at].target, bad[at])
    time.sleep(0.2)
    return not waiting
