"""What policy tables say, as values: who exists, which certificates and keys are theirs, which grants permit what.

Names stand for themselves here (SPIFFE IDs, method paths); native.policy compiles them into numbers. Times are
milliseconds since the epoch, both bounds of a validity included. Follows docs/protocol.md, sections 1, 4 and 9.
"""

from dataclasses import dataclass, field
from enum import IntEnum

__all__ = [
    "Agent",
    "Certificate",
    "Grant",
    "Method",
    "MethodKind",
    "PolicyError",
    "PolicyTables",
    "SigningKey",
    "Subsystem",
]


class PolicyError(ValueError):
    """Tables that cannot be built or opened. `reason` is one word: truncated, magic, layout, value, reference, key,
    index, memory; `detail` says which entry, where that is known."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"policy tables refused: {reason}{': ' + detail if detail else ''}; compile them again")
        self.reason = reason
        self.detail = detail


class MethodKind(IntEnum):
    """How messages flow. CLIENT_STREAM covers bidirectional streams; both are refused at the gate."""

    UNARY = 1
    SERVER_STREAM = 2
    CLIENT_STREAM = 3


@dataclass(frozen=True, slots=True)
class Subsystem:
    """One registered subsystem. `member` is the prefix of `id` that its member owns, slash included; `cluster` names
    Envoy's cluster for it and is empty when it provides nothing. `calls_per_second` (0 = no limit) and `burst` (0 = as
    many as a second's, at least 1) bound what it may call as a peer, over all grants and whomever it carries for."""

    id: str
    member: str
    active: bool = True
    is_broker: bool = False
    cluster: str = ""
    calls_per_second: int = 0
    burst: int = 0


@dataclass(frozen=True, slots=True)
class Certificate:
    """A live TLS certificate: SHA-256 of its DER, and whose it is."""

    digest: bytes
    subsystem: str
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A registered signing key; `not_after_ms` is the earlier of its end and its revocation."""

    key_id: bytes
    point: bytes
    subsystem: str
    not_before_ms: int
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a registered contract; `max_lifetime_ms` bounds not-after minus issued-at of a request for it."""

    path: str
    kind: MethodKind = MethodKind.UNARY
    max_lifetime_ms: int = 60_000
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """Who may call which methods of whom, for which purposes, when. A limit of 0 means none, a burst of 0 as many
    as a second's. Days are UTC's; bytes are gRPC frames, of the request and of what was released of the answer."""

    grant_id: str
    client: str
    provider: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    operator_made: bool = False
    calls_per_second: int = 0
    burst: int = 0
    calls_per_day: int = 0
    bytes_per_day: int = 0


@dataclass(frozen=True, slots=True)
class Agent:
    """`agent` may carry requests signed by `client`; both belong to one member."""

    agent: str
    client: str


@dataclass(frozen=True, slots=True)
class PolicyTables:
    """Everything a gate or a provider decides by."""

    subsystems: tuple[Subsystem, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    keys: tuple[SigningKey, ...] = ()
    methods: tuple[Method, ...] = ()
    grants: tuple[Grant, ...] = ()
    agents: tuple[Agent, ...] = field(default=())
