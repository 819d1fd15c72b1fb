"""An instance whose registry enrols: the small nation, a registry subsystem with a listener, and one newcomer."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bus.registry.enrolment_server import EnrolmentServer, wait_published  # isort: skip - before gRPC

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from govbus.enrolment.v1 import enrolment_pb2 as pb
from govbus.enrolment.v1 import enrolment_pb2_grpc as rpc

from bus.edge.instance import Instance
from bus.edge.publisher import Publisher
from bus.engines.postgres_database import Database
from bus.exchange.meanings import parse_refusal
from bus.registry.enrolment import Enroller, issue_token, root_digest
from bus.registry.members import MemberAdded
from bus.registry.registry import Registry
from bus.registry.subsystems import SubsystemAdded
from pki.authority import Authority
from pki.certificates import build_csr
from pki.credentials import issue_credentials
from pki.enrolment import Token, prove_possession
from pki.identity import SubsystemId
from pki.keys import encode_spki, generate_private_key
from pki.signer import FileSigner, KeySigner
from tests.support.nation import make_small_nation
from tests.support.registered import ACT, found_registry, now_ms, tls_certificate

__all__ = ["NEWCOMER", "REGISTRY", "Enrolling", "Request", "enrolling"]

REGISTRY = "gov/ndc/registry"
NEWCOMER = "gov/moh/vaccination"
HOUR = 3_600_000


@dataclass
class Clock:
    """The wall clock, and a shift that a test may set."""

    shift_ms: int = 0

    def __call__(self) -> int:
        return now_ms() + self.shift_ms


@dataclass
class Enrolling:
    """What a test talks to."""

    instance: Instance
    registry: Registry
    authority: Authority
    publisher: Publisher
    server: EnrolmentServer
    clock: Clock

    def token(self, subsystem: str = NEWCOMER, server: str = REGISTRY, *, again: bool = True) -> Token:
        """A fresh token."""
        return issue_token(
            self.registry,
            subsystem,
            ACT,
            server=server,
            address=f"127.0.0.1:{self.server.port}",
            root=root_digest(self.authority),
            secret=os.urandom(32),
            now_ms=self.clock(),
            again=again,
        )

    def ask(self, request: pb.EnrolRequest) -> str:
        """What the listener says to this request: its reason, or `enrolled`."""
        credentials = grpc.ssl_channel_credentials(self.authority.trust.roots_pem)
        name = self.instance.subsystem_id(REGISTRY).dns_name
        options = [("grpc.ssl_target_name_override", name), ("grpc.enable_http_proxy", 0)]
        with grpc.secure_channel(f"127.0.0.1:{self.server.port}", credentials, options) as channel:
            try:
                rpc.EnrolmentServiceStub(channel).Enrol(request, timeout=20)
            except grpc.RpcError as error:
                trailers: Any = error.trailing_metadata() or ()
                found = parse_refusal(dict(trailers).get("grpc-status-details-bin", b""))
                return str(found[0]) if found else f"unreadable {error.code()}"
        return "enrolled"


@dataclass
class Request:
    """A request of the newcomer that is right, unless a field says otherwise."""

    token: Token
    subsystem: SubsystemId | None = None
    tls_key: ec.EllipticCurvePrivateKey = field(default_factory=generate_private_key)
    key: ec.EllipticCurvePrivateKey = field(default_factory=generate_private_key)
    not_before_ms: int = field(default_factory=now_ms)
    not_after_ms: int = field(default_factory=lambda: now_ms() + 24 * HOUR)

    def build(self, change: Callable[[pb.EnrolRequest], None] = lambda _: None) -> pb.EnrolRequest:
        """The message, then changed."""
        spki = encode_spki(self.key.public_key())
        subsystem = self.token.subsystem
        request = pb.EnrolRequest(
            token_secret=self.token.secret,
            csr=build_csr(self.tls_key, self.subsystem or subsystem),
            signing_key_spki=spki,
            signing_key_not_before_ms=self.not_before_ms,
            signing_key_not_after_ms=self.not_after_ms,
            possession=prove_possession(KeySigner(self.key), subsystem, spki, self.not_before_ms, self.not_after_ms),
        )
        change(request)
        return request


@contextmanager
def enrolling(state: Path, database: Database) -> Iterator[Enrolling]:
    """Make all of it and listen."""
    instance = make_small_nation(state)
    registry, store = found_registry(instance, database)
    with store, running_enrolment(instance, registry) as world:
        yield world


@contextmanager
def running_enrolment(instance: Instance, registry: Registry) -> Iterator[Enrolling]:
    """Publisher and listener over an instance that has a registry."""
    now, clock = datetime.now(UTC), Clock()
    authority = Authority.open(instance.state, instance.trust_domain, now=now)
    home = instance.home(REGISTRY)
    issue_credentials(authority, instance.subsystem_id(REGISTRY), home, now=now)
    registry.record(
        [
            MemberAdded("gov", "moh", "Bộ Y tế", "Ministry of Health"),
            SubsystemAdded(NEWCOMER),
            SubsystemAdded(REGISTRY),
            tls_certificate(REGISTRY, home),
        ],
        ACT,
    )
    signer = FileSigner.load(instance.state / "policy-signing-key.pem")
    snapshots = instance.state / "snapshots"
    enroller = Enroller(registry, lambda: authority, wait_published(snapshots), clock)
    server = EnrolmentServer(enroller, registry, home, snapshots, signer.public_point, "127.0.0.1:0")
    with Publisher(instance.state, registry, signer, now_ms) as publisher, server:
        yield Enrolling(instance, registry, authority, publisher, server, clock)
