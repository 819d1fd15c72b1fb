"""What the registry knows at one position of its log, as frozen values; made by folding events (bus.registry.fold).

Names are paths inside the instance: `gov/mps` a member, `gov/mps/population` a subsystem. Times are milliseconds since
the epoch. Whatever was revoked stays, marked, where its name must not be used again; certificates leave instead: there
are thousands a day, and the table of keys (bus.registry.store) remembers theirs for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bus.edge.endpoint import Endpoint
from native.policy_types import Grant, Method
from pki.identity import SubsystemId

__all__ = [
    "EMPTY_HASH",
    "CertificateEntry",
    "GrantEntry",
    "InstanceEntry",
    "KeyEntry",
    "MemberEntry",
    "RegistryState",
    "ServiceEntry",
    "SubsystemEntry",
    "TokenEntry",
]

EMPTY_HASH = bytes(32)
"""What the first event follows."""


@dataclass(frozen=True, slots=True)
class InstanceEntry:
    """What holds for the whole instance."""

    trust_domain: str
    alarm_after_ms: int
    refuse_after_ms: int
    founded_ms: int


@dataclass(frozen=True, slots=True)
class MemberEntry:
    """An organisation."""

    member_class: str
    code: str
    name_vi: str
    name_en: str
    suspended_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SubsystemEntry:
    """A subsystem of a member; `certificates` are the digests of its live ones."""

    identity: SubsystemId
    is_broker: bool
    suspended_ms: int | None = None
    revoked_ms: int | None = None
    endpoints: tuple[Endpoint, ...] = ()
    services: tuple[str, ...] = ()
    """Offered by it, in the order of the offers."""
    certificates: tuple[bytes, ...] = ()
    calls_per_second: int = 0
    """What it may call as a peer over the whole bus, over all its grants; 0: no limit."""
    burst: int = 0
    """Calls at once; 0: as many as in a second."""

    @property
    def member(self) -> str:
        """`class/code`."""
        return f"{self.identity.member_class}/{self.identity.member}"


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """A live TLS certificate."""

    subsystem: str
    key_id: bytes
    issuer: bytes
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A signing key that was ever registered."""

    subsystem: str
    point: bytes
    not_before_ms: int
    not_after_ms: int
    revoked_ms: int | None = None

    @property
    def last_ms(self) -> int:
        """The last millisecond at which it is valid."""
        return self.not_after_ms if self.revoked_ms is None else min(self.not_after_ms, self.revoked_ms - 1)


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A registered contract: its methods, and the FileDescriptorSet that declares it."""

    image: bytes
    methods: tuple[Method, ...]
    former: tuple[bytes, ...] = ()
    """Images that it had before, oldest first."""


@dataclass(frozen=True, slots=True)
class GrantEntry:
    """A grant that was ever made; `grant` is what gates get while it is in force."""

    grant: Grant
    client: str
    provider: str
    revoked_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """An enrolment token that was issued, by the hash of its secret."""

    subsystem: str
    operator: str
    not_after_ms: int
    used_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RegistryState:
    """Everything, at `position`; position 0 is before the first event."""

    position: int = 0
    time_ms: int = 0
    head: bytes = EMPTY_HASH
    instance: InstanceEntry | None = None
    members: Mapping[str, MemberEntry] = field(default_factory=dict)
    subsystems: Mapping[str, SubsystemEntry] = field(default_factory=dict)
    certificates: Mapping[bytes, CertificateEntry] = field(default_factory=dict)
    """By SHA-256 of the DER."""
    revoked_issuers: Mapping[bytes, int] = field(default_factory=dict)
    """Issuing CA's key id -> when."""
    keys: Mapping[bytes, KeyEntry] = field(default_factory=dict)
    """By key id."""
    services: Mapping[str, ServiceEntry] = field(default_factory=dict)
    methods: Mapping[str, Method] = field(default_factory=dict)
    """By path; of all services."""
    grants: Mapping[str, GrantEntry] = field(default_factory=dict)
    agents: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(agent, client) -> since when."""
    tokens: Mapping[bytes, TokenEntry] = field(default_factory=dict)
    """By SHA-256 of the secret; those that ended more than a day ago are forgotten."""

    def suspended_since(self, path: str) -> int | None:
        """Since when a subsystem neither calls nor serves: it or its member is suspended. None if neither is."""
        found = self.subsystems[path]
        since = (found.suspended_ms, self.members[found.member].suspended_ms)
        return min((one for one in since if one is not None), default=None)
