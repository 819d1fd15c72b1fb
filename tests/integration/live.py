"""What the tests of faults share: an instance that runs as under `govbus up`, its provider, and what is asked of it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bus.exchange import load_client_config  # isort: skip - before gRPC

from bus.engines.postgres_database import DatabaseUnavailable
from bus.registry.change import Change
from bus.registry.enrolment import certificate_added
from bus.up.broker_part import BrokerPart
from bus.up.control import ask_supervisor
from bus.up.force import wait_in_force
from bus.up.layout import Layout
from bus.up.registry_parts import RegistryParts
from bus.up.running import Options, Running
from pki.authority import Authority
from pki.certificates import build_csr
from pki.credentials import store_credentials
from pki.identity import SubsystemId
from pki.keys import encode_private_key, generate_private_key
from tests.support.live import ACT, CALLER, Provider, home_of, make_live, providing, wait_until
from tests.support.live_load import Load

__all__ = ["Live", "running_live"]

_TICK_S = 0.5


@dataclass
class Live:
    """What a test talks to."""

    layout: Layout
    running: Running
    provider: Provider

    def load(self, *, workers: int = 4, timeout: float = 60.0) -> Load:
        """Calls of CALLER, between `with` and its end."""
        return Load(load_client_config(home_of(self.layout, CALLER) / "config.yaml"), workers=workers, timeout=timeout)

    def record(self, *changes: Change) -> int:
        """Their position in the log; tried again while the database is away."""
        found: list[int] = []

        def tried() -> bool:
            try:
                found.append(self.running.registry.record(changes, ACT)[-1].position)
            except DatabaseUnavailable:
                return False
            return True

        wait_until(tried)
        return found[0]

    def put_in_force(self, *changes: Change) -> None:
        """Recorded, published to everybody, and given to the gate."""
        self.wait_in_force(self.record(*changes))

    def wait_in_force(self, position: int) -> None:
        """Until what is recorded there is published to everybody, and given to the gate."""
        assert wait_in_force(self.layout, position, 60.0) is not None

    @property
    def broker(self) -> BrokerPart:
        """The one there is."""
        return self.running.brokers[0]

    @property
    def parts(self) -> RegistryParts:
        """What needs the database."""
        assert self.running._registry_parts is not None
        return self.running._registry_parts

    def spiffe(self, path: str) -> str:
        """A subsystem's full name."""
        return f"spiffe://{self.running.facts.trust_domain}/{path}"

    def certify(self, path: str, home: Path, lifetime: timedelta) -> None:
        """Make a certificate that ends so soon the one in `home`, live everywhere before it is used."""
        now, key = datetime.now(UTC), generate_private_key()
        authority = Authority.open(self.layout.state, self.running.facts.trust_domain, now=now)
        identity = SubsystemId(authority.trust_domain, *path.split("/"))
        issued = authority.issue_from_csr(build_csr(key, identity), identity, now=now, lifetime=lifetime)
        self.put_in_force(certificate_added(issued, authority))
        store_credentials(home, encode_private_key(key), issued.chain_pem, authority.trust.pem)

    def pid(self, part: str) -> int:
        """Of a child of the supervisor, once it is up."""
        wait_until(lambda: self._told(part).get("pid"))
        return int(self._told(part)["pid"])

    def wait_restarted(self, part: str, old: int) -> None:
        """Until another process of it is up."""
        wait_until(lambda: self._told(part).get("pid") not in (None, old))

    def _told(self, part: str) -> dict[str, Any]:
        found: dict[str, Any] = (ask_supervisor(self.layout) or {}).get(part) or {}
        return found


@contextmanager
def running_live(folder: Path, made: Layout | None = None) -> Iterator[Live]:
    """Make the instance, unless it is `made`, and run all of it."""
    layout = made or make_live(folder / "a state")
    with ExitStack() as stack:
        running = stack.enter_context(Running(layout, Options(), logging.getLogger(__name__).info))
        stop = threading.Event()

        def tick() -> None:
            while not stop.wait(_TICK_S):
                running.tick()

        ticking = threading.Thread(target=tick, name="ticking")
        ticking.start()
        stack.callback(ticking.join)
        stack.callback(stop.set)
        yield Live(layout, running, stack.enter_context(providing(layout, folder / "effects")))
