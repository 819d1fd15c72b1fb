"""What trust logic asks of the policy: one immutable answerer for one snapshot version.

`trust.SnapshotView` answers from a verified snapshot; the offline verifier may answer from what a bundle carries. Every
method answers None for what it does not know, and judges nothing: validity at a time is the caller's check.
"""

from dataclasses import dataclass
from typing import Protocol

from native.ecdsa import PublicKey

__all__ = ["CertificateRecord", "GrantRecord", "KeyRecord", "MethodRecord", "SubsystemRecord", "TrustView"]


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A registered signing key; valid from `not_before_ms` to `not_after_ms`, the end moved forward by a revocation."""

    owner: str
    not_before_ms: int
    not_after_ms: int
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class SubsystemRecord:
    """A member's subsystem, brokers included."""

    spiffe_id: str
    active: bool
    is_broker: bool


@dataclass(frozen=True, slots=True)
class CertificateRecord:
    """A live TLS certificate."""

    subsystem: str
    not_after_ms: int


@dataclass(frozen=True, slots=True)
class MethodRecord:
    """What the contract says about a method."""

    path: str
    max_lifetime_ms: int
    idempotent: bool
    server_stream: bool
    client_stream: bool


@dataclass(frozen=True, slots=True)
class GrantRecord:
    """The grant that permitted."""

    grant_id: str
    operator_made: bool


class TrustView(Protocol):
    """One version of the policy."""

    @property
    def version(self) -> int:
        """The snapshot's version."""

    def certificate(self, sha256: bytes) -> CertificateRecord | None:
        """The live certificate with this digest."""

    def subsystem(self, spiffe_id: str) -> SubsystemRecord | None:
        """The registered subsystem of this name."""

    def key(self, key_id: bytes) -> KeyRecord | None:
        """The registered key of this id."""

    def method(self, path: str) -> MethodRecord | None:
        """The declared method at this path."""

    def permitting_grant(
        self, grant_id: str, client: str, provider: str, method: str, purpose: str, now_ms: int
    ) -> GrantRecord | None:
        """The grant, if it permits exactly this at this time."""
