"""A small nation as changes, and a log in memory for rules that need no database."""

import hashlib
from collections.abc import Sequence
from functools import cache

from bus.registry.change import Change
from bus.registry.event import Event
from bus.registry.fold import EMPTY, Act, propose
from bus.registry.grants import GrantMade
from bus.registry.keys import CertificateAdded, SigningKeyAdded
from bus.registry.members import InstanceFounded, MemberAdded
from bus.registry.refusal import Refusal
from bus.registry.services import ServiceOffered, ServiceRegistered
from bus.registry.state import RegistryState
from bus.registry.subsystems import EndpointsSet, SubsystemAdded
from native.policy_types import Method, MethodKind
from pki.keys import encode_spki, generate_private_key, signing_key_id
from tests.support.contracts import compiled

NOW = 1_795_000_000_000
HOUR = 3_600_000
DAY = 24 * HOUR
ACT = Act("ops:alice", "set up for a test")
SERVICE = "vn.population.v1.PopulationService"
GET = f"/{SERVICE}/GetPerson"
LIST = f"/{SERVICE}/ListPersons"
POPULATION, CIVIL, BROKER = "gov/mps/population", "gov/moj/civil-status", "gov/ndc/broker-1"
ISSUER = hashlib.sha256(b"issuing CA").digest()


_TEXT = """
package vn.population.v1;
import "vn/options/v1/options.proto";
message Person {}
service PopulationService {
  rpc GetPerson(Person) returns (Person) {
    option (vn.options.v1.idempotent) = true;
    option (vn.options.v1.max_lifetime_ms) = 30000;
  }
  rpc ListPersons(Person) returns (stream Person);
"""
IMAGE = compiled({"vn/population/v1/small.proto": _TEXT + "}"})
LATER_IMAGE = compiled({"vn/population/v1/small.proto": _TEXT + "rpc More(Person) returns (Person); }"})
"""IMAGE with a method more."""


@cache
def point(name: str) -> bytes:
    """A real public key, the same for the same name within a run."""
    return encode_spki(generate_private_key().public_key())[-65:]


def key_id(name: str) -> bytes:
    return signing_key_id(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + point(name))


def signing_key(
    subsystem: str, name: str, *, not_before: int = NOW + HOUR, not_after: int = NOW + DAY
) -> SigningKeyAdded:
    return SigningKeyAdded(subsystem, key_id(name), point(name), not_before, not_after)


def certificate(subsystem: str, name: str, *, not_before: int = NOW, hours: int = 24) -> CertificateAdded:
    digest = hashlib.sha256(f"certificate {name}".encode()).digest()
    key = hashlib.sha256(f"TLS key {name}".encode()).digest()
    return CertificateAdded(digest, subsystem, key, ISSUER, not_before, not_before + hours * HOUR)


def service() -> ServiceRegistered:
    methods = (Method(GET, MethodKind.UNARY, 30_000, True), Method(LIST, MethodKind.SERVER_STREAM))
    return ServiceRegistered(SERVICE, hashlib.sha256(IMAGE).digest(), methods)


def grant(grant_id: str = "grant-1") -> GrantMade:
    return GrantMade(grant_id, CIVIL, POPULATION, (GET,), ("civil.birth",), NOW, NOW + 365 * DAY)


def nation() -> list[Change]:
    """Three members, a broker, a provider, a client, one grant."""
    return [
        InstanceFounded("bus.gov.example"),
        MemberAdded("gov", "ndc", "Trung tâm Dữ liệu quốc gia", "National Data Centre"),
        MemberAdded("gov", "mps", "Bộ Công an", "Ministry of Public Security"),
        MemberAdded("gov", "moj", "Bộ Tư pháp", "Ministry of Justice"),
        SubsystemAdded(BROKER, is_broker=True),
        SubsystemAdded(POPULATION),
        SubsystemAdded(CIVIL),
        EndpointsSet(BROKER, ("127.0.0.1:7443",)),
        EndpointsSet(POPULATION, ("127.0.0.1:7501", "[::1]:7502")),
        service(),
        ServiceOffered(POPULATION, SERVICE),
        certificate(POPULATION, "population-1"),
        certificate(CIVIL, "civil-1"),
        signing_key(POPULATION, "population", not_before=NOW),
        signing_key(CIVIL, "civil", not_before=NOW),
        grant(),
    ]


class Log:
    """A log in memory."""

    def __init__(self, changes: Sequence[Change] = (), at_ms: int = NOW) -> None:
        self.state: RegistryState = EMPTY
        self.events: list[Event] = []
        if changes:
            self.record(*changes, at_ms=at_ms)

    def record(self, *changes: Change, at_ms: int = NOW + 1) -> RegistryState:
        proposal = propose(self.state, changes, ACT, at_ms)
        self.events += proposal.events
        self.state = proposal.after
        return self.state

    def refusal(self, *changes: Change, at_ms: int = NOW + 1) -> str | None:
        """The reason for which these changes are refused, None if they are not; records nothing."""
        try:
            propose(self.state, changes, ACT, at_ms)
        except Refusal as refusal:
            return refusal.reason.value
        return None
