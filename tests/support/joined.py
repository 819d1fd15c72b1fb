"""An instance that runs with its registry on the bus, for tests of whoever joins it from elsewhere."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.exchange import load_client_config, load_provider_config  # isort: skip - before gRPC

from bus.edge.instance import Instance, make_instance
from bus.edge.nation import Nation
from bus.edge.publisher import Publisher
from bus.engines.broker import Broker
from bus.engines.postgres_database import Database
from bus.exchange.trust import SnapshotFile
from bus.registry.change import Change
from bus.registry.enrolment import issue_token, root_digest
from bus.registry.enrolment_client import enrol
from bus.registry.registry import Registry
from bus.registry.service_run import REGISTRY_PATH, RegistryServices
from pki.authority import Authority
from pki.credentials import Credentials
from pki.signer import FileSigner
from tests.support.registered import ACT, found_registry, now_ms

__all__ = ["Joined", "joined", "snapshot_of", "wait_until"]


@dataclass
class Joined:
    """What a test talks to."""

    instance: Instance
    registry: Registry
    publisher: Publisher
    services: RegistryServices
    broker: Broker

    def authority(self) -> Authority:
        """As it is on the disk now."""
        return Authority.open(self.instance.state, self.instance.trust_domain, now=datetime.now(UTC))

    def record(self, *changes: Change) -> int:
        """The position after them."""
        return self.registry.record(list(changes), ACT)[-1].position

    def enrol(self, path: str, home: Path) -> Credentials:
        """By token into `home`; its signing key starts within 12 s."""
        token = issue_token(
            self.registry,
            path,
            ACT,
            server=REGISTRY_PATH,
            address=str(self.services.enrolment),
            root=root_digest(self.authority()),
            secret=os.urandom(32),
            now_ms=now_ms(),
        )
        return enrol(token.text, home, clock_ms=now_ms, accept_operator_grants=True)

    def wait_key(self, key_id: bytes) -> None:
        """Until a signing key is in force."""
        start = self.registry.state().keys[key_id].not_before_ms
        time.sleep(max(0.0, (start - now_ms()) / 1000) + 0.5)


@contextmanager
def joined(state: Path, database: Database, nation: Nation, broker: str) -> Iterator[Joined]:
    """Everything but PostgreSQL is gone afterwards."""
    instance = make_instance(state, nation, now=datetime.now(UTC) - timedelta(hours=1))
    registry, store = found_registry(instance, database)
    signer = FileSigner.load(instance.state / "policy-signing-key.pem")

    def authority() -> Authority:
        return Authority.open(instance.state, instance.trust_domain, now=datetime.now(UTC))

    with ExitStack() as stack:
        stack.enter_context(store)
        publisher = stack.enter_context(Publisher(instance.state, registry, signer, now_ms))
        services = RegistryServices(
            instance.state, registry, authority, signer.public_point, now_ms, renew=publisher.renew
        )
        stack.enter_context(services)
        stack.enter_context(_ticking(services))
        stack.callback(services.release)
        yield Joined(instance, registry, publisher, services, stack.enter_context(Broker(instance.broker_home(broker))))


@contextmanager
def _ticking(services: RegistryServices) -> Iterator[None]:
    """As the supervisor does."""
    stopping = threading.Event()

    def tick() -> None:
        while not stopping.wait(0.3):
            services.tick()

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def snapshot_of(home: Path) -> SnapshotFile:
    """The policy as a home has it."""
    config = home / "config.yaml"
    load = load_client_config if "\nclient:" in config.read_text() else load_provider_config
    found = SnapshotFile.of(load(config).identity)
    found.load()
    return found


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60.0) -> float:
    """Seconds until it was true; AssertionError after `seconds`."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began
