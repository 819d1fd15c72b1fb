"""The registry's side of an instance that runs: its services on the bus, and the enrolment listener beside them.

    with RegistryServices(state, registry, authority, ...) as services:
        services.tick()      # about once a second: renews its own certificate, brings the trust bundle

It needs a publisher for the same state directory, which may start before or after; the services on the bus answer
once their snapshot is there and their signing key has started (11 s after the very first start).
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from bus.registry.enrolment_server import EnrolmentServer, wait_published  # isort: skip - before gRPC

from govbus.registry.v1 import admin_pb2_grpc, directory_pb2_grpc, renewal_pb2_grpc

from bus.edge.endpoint import Endpoint
from bus.edge.ports import keep_ports
from bus.exchange import load_provider_config, serve
from bus.exchange.methods import Registration
from bus.registry.draft import Draft
from bus.registry.enrolment import Enroller
from bus.registry.fold import Act
from bus.registry.own_grants import enrolled, own_grants
from bus.registry.registry import Registry
from bus.registry.rotation import Rotator
from bus.registry.service_admin import Admin
from bus.registry.service_directory import Directory
from bus.registry.service_home import HomePlan, provide_home
from bus.registry.service_renewal import Renewal
from bus.registry.service_snapshots import Published
from bus.registry.trust_delivery import TrustDelivery
from pki.authority import Authority
from pki.identity import SubsystemId
from pki.trust import parse_pem_certificates

__all__ = ["ENROLMENT_PORT", "REGISTRY_PATH", "RegistryServices"]

REGISTRY_PATH: Final = "gov/ndc/registry"
ENROLMENT_PORT: Final = "enrolment"
"""Its name among the kept ports."""
_LOOK_SECONDS: Final = 60.0
_WAITING: Final = 16_384
"""Calls at once: whoever follows its policy through the bus waits here for the next version."""
_ACT: Final = Act("govbus:registry", "the registry's own presence on the bus")

log = logging.getLogger(__name__)


class RegistryServices:
    """Runs between `start` and `stop`, on a thread and an event loop of its own."""

    def __init__(
        self,
        state: Path,
        registry: Registry,
        authority: Callable[[], Authority],
        policy_key_point: bytes,
        clock_ms: Callable[[], int],
        *,
        path: str = REGISTRY_PATH,
        listen: Endpoint | None = None,
        enrolment: Endpoint | None = None,
        renew: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Addresses that are not given are free loopback ports, chosen once and kept. Nothing happens yet.

        `renew`: the publisher's, where it runs in this process; without it parts are made when they change, and hourly.
        """
        state = state.absolute()
        ports = keep_ports(state, (path, ENROLMENT_PORT))
        identity = SubsystemId(Draft(registry.state()).founded().trust_domain, *path.split("/"))
        self.home = state / "subsystems" / path.replace("/", ".")
        self.enrolment = enrolment or Endpoint("127.0.0.1", ports[ENROLMENT_PORT])
        listen = listen or Endpoint("127.0.0.1", ports[path])
        self._plan = HomePlan(identity, self.home, listen, policy_key_point, _ACT)
        self._registry, self._authority, self._clock_ms = registry, authority, clock_ms
        self._renew = renew
        self._trust = TrustDelivery(state, identity.trust_domain)
        self._snapshots = state / "snapshots"
        self._wait = wait_published(self._snapshots)
        self._enroller = Enroller(registry, authority, self._wait, clock_ms)
        self._listener: EnrolmentServer | None = None
        self._published: Published | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="registry", daemon=True)
        self._look_at = 0.0

    def start(self) -> None:
        """Record what is missing and listen; Refusal, DatabaseUnavailable, OSError."""
        provide_home(self._plan, self._registry, self._authority(), self._clock_ms, self._wait)
        self._grant_own()
        self._trust.look()
        self._look_at = time.monotonic() + _LOOK_SECONDS
        self._listener = EnrolmentServer(
            self._enroller,
            self._registry,
            self.home,
            self._snapshots,
            self._plan.policy_key_point,
            str(self.enrolment),
        )
        self._listener.start()
        self._thread.start()

    def tick(self) -> None:
        """Renew what ends, bring the newest trust bundle; whatever `start` raises."""
        self._trust.look()
        if time.monotonic() >= self._look_at or self._revoked():
            self._look_at = time.monotonic() + _LOOK_SECONDS
            provide_home(self._plan, self._registry, self._authority(), self._clock_ms, self._wait)

    def release(self) -> None:
        """Answer everybody who waits for a newer policy: for who is about to stop the brokers, which wait for them."""
        if self._published is not None:
            self._published.end()

    def stop(self) -> None:
        """Finish what is being served."""
        self.release()
        self._stopping.set()
        if self._listener is not None:
            self._listener.stop()
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _revoked(self) -> bool:
        """Whether its own certificate left the policy: its issuing CA was revoked, for one."""
        leaf = parse_pem_certificates((self.home / "tls" / "chain.pem").read_bytes())[0]
        return sha256(leaf).digest() not in self._registry.newest.certificates

    def _grant_own(self) -> None:
        """Whoever takes part may look after its own credentials and policy, also who joined before that could be."""
        state = self._registry.state()
        missing = own_grants(state, enrolled(state), self._clock_ms())
        if missing:
            self._registry.record(missing, _ACT)

    async def _serve(self) -> None:
        while not (self.home / "snapshot.bin").exists():
            if await asyncio.to_thread(self._stopping.wait, 0.1):
                return
        self._published = published = Published(self._snapshots, self.home / "trust.pem")
        rotator = Rotator(self._registry, self._wait, self._clock_ms)
        renewal = Renewal(self._registry, self._enroller, rotator, published, self._renew)
        servicers: list[Registration] = [
            (directory_pb2_grpc.add_DirectoryServiceServicer_to_server, Directory(self._registry)),
            (admin_pb2_grpc.add_AdminServiceServicer_to_server, Admin(self._registry)),
            (renewal_pb2_grpc.add_RenewalServiceServicer_to_server, renewal),
        ]
        config = replace(load_provider_config(self.home / "config.yaml"), max_concurrent=_WAITING)
        async with serve(config, servicers):
            await asyncio.to_thread(self._stopping.wait)
