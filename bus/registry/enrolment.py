"""Enrolment and renewal as the registry decides them (protocol.md 1): what is asked is judged, issued and recorded.

enrol, first failure counts and nothing is recorded:
1. the token was issued here, is unused and within its hour
2. the CSR proves possession of a P-256 key and asks for exactly the token's subsystem
3. the signing key is a P-256 key, proved by itself over (subsystem, key, validity)
4. validity: not over, not empty, at most two years
5. one transaction burns the token and records certificate and signing key, and where the instance has a RenewalService,
   the grant to use it; a key that was ever known is refused there

renew takes step 2 for the caller of a signed request, and records the certificate. Both answer when the certificate is
in the published policy, or after a limit: then it is issued all the same and becomes live with the next publication.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from bus.exchange.reasons import Reason
from bus.registry.enrolment_tokens import TOKEN_LIFETIME_MS, TokenIssued, TokenUsed, usable_token
from bus.registry.fold import Act
from bus.registry.key_start import record_key
from bus.registry.keys import CertificateAdded, SigningKeyAdded
from bus.registry.own_grants import own_grants, renewal_provider
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.registry import Registry
from bus.registry.state import SubsystemEntry
from pki.authority import Authority, IssuedCertificate
from pki.enrolment import Token, verify_possession
from pki.errors import ProfileError, ProfileReason
from pki.identity import SubsystemId
from pki.keys import encode_spki, signing_key_id
from pki.profiles import verify_csr

__all__ = [
    "Asked",
    "Enrolled",
    "Enroller",
    "EnrolmentRefused",
    "Issued",
    "KeyProof",
    "certificate_added",
    "issue_token",
    "refused",
    "root_digest",
    "verified_key",
]

T = TypeVar("T")
LONGEST_KEY_MS: Final = 2 * 366 * 86_400_000
_CSR_BYTES: Final = 4096

_REASONS: Final = {
    RefusalReason.UNKNOWN_TOKEN: Reason.TOKEN_UNKNOWN,
    RefusalReason.TOKEN_USED: Reason.TOKEN_USED,
    RefusalReason.TOKEN_EXPIRED: Reason.TOKEN_EXPIRED,
    RefusalReason.KEY_KNOWN: Reason.KEY_KNOWN,
    RefusalReason.WEAK_KEY: Reason.KEY_WEAK,
    RefusalReason.VALIDITY: Reason.KEY_VALIDITY,
    RefusalReason.TOO_SOON: Reason.KEY_VALIDITY,
}
_PROFILES: Final = {
    ProfileReason.KEY_NOT_P256: Reason.KEY_WEAK,
    ProfileReason.KEY_MALFORMED: Reason.KEY_WEAK,
    ProfileReason.KEY_WEAK: Reason.KEY_WEAK,
    ProfileReason.UNEXPECTED_IDENTITY: Reason.CSR_MISMATCH,
    ProfileReason.TRUST_DOMAIN: Reason.CSR_MISMATCH,
}


class EnrolmentRefused(Exception):
    """Nothing was issued, and the token is what it was."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class KeyProof:
    """A signing key that is to be registered, and the proof that whoever asks has it."""

    spki: bytes
    not_before_ms: int
    not_after_ms: int
    possession: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What an enrolment asks for; see govbus.enrolment.v1."""

    secret_hash: bytes
    csr: bytes
    proof: KeyProof


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate that is recorded."""

    certificate: IssuedCertificate
    log_position: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A subsystem that may take part."""

    subsystem: SubsystemId
    issued: Issued
    key_starts_ms: int
    renewal_provider: str
    """SPIFFE ID; empty if nobody offers renewal."""


class Enroller:
    """Issues for one instance; for use by several threads."""

    def __init__(
        self,
        registry: Registry,
        authority: Callable[[], Authority],
        wait_published: Callable[[int], bool],
        clock_ms: Callable[[], int],
    ) -> None:
        """`wait_published(position)` returns when the published policy reflects it, or False after a time."""
        self._registry, self._authority = registry, authority
        self._wait_published, self._clock_ms = wait_published, clock_ms

    def enrol(self, asked: Asked) -> Enrolled:
        """EnrolmentRefused; or the database's own errors, then nothing was issued."""
        state, now_ms = self._registry.state(), self._clock_ms()
        try:
            token = usable_token(state.tokens.get(asked.secret_hash), now_ms)  # 1
        except Refusal as refusal:
            raise refused(refusal) from refusal
        subsystem = state.subsystems[token.subsystem].identity
        tls_spki = _verified_csr(asked.csr, subsystem)  # 2
        point = verified_key(asked.proof, subsystem, now_ms)  # 3, 4
        key_id = signing_key_id(asked.proof.spki)
        if asked.proof.spki == tls_spki:
            raise EnrolmentRefused(Reason.KEY_KNOWN)
        renewal, grants = renewal_provider(state), own_grants(state, [subsystem.path], now_ms)

        def record(certificate: CertificateAdded, earliest_ms: int) -> tuple[int, int]:
            starts_ms = max(asked.proof.not_before_ms, earliest_ms)
            key = SigningKeyAdded(subsystem.path, key_id, point, starts_ms, asked.proof.not_after_ms)
            changes = [TokenUsed(asked.secret_hash), certificate, key, *grants]
            return self._registry.record(changes, Act(token.operator, "enrolled by token"))[-1].position, starts_ms

        certificate, (position, starts_ms) = self._issue(
            tls_spki,
            subsystem,
            lambda added: record_key(partial(record, added), self._clock_ms),
        )  # 5
        issued = Issued(certificate, position)
        self._wait_published(issued.log_position)
        return Enrolled(subsystem, issued, starts_ms, state.subsystems[renewal].identity.spiffe_id if renewal else "")

    def renew(self, csr: bytes, subsystem: SubsystemId) -> Issued:
        """A new certificate for the subsystem that asks; raises as `enrol`."""
        spki = _verified_csr(csr, subsystem)
        act = Act(subsystem.spiffe_id, "renewed its certificate")
        issued = Issued(*self._issue(spki, subsystem, lambda added: self._registry.record([added], act)[-1].position))
        self._wait_published(issued.log_position)
        return issued

    def trust_pem(self) -> bytes:
        """Roots and issuing CAs now."""
        return self._authority().trust.pem

    def _issue(
        self, spki: bytes, subsystem: SubsystemId, record: Callable[[CertificateAdded], T]
    ) -> tuple[IssuedCertificate, T]:
        """A certificate, and what `record` returned that recorded it."""
        authority = self._authority()
        try:
            certificate = authority.issue_tls(spki, subsystem, now=datetime.fromtimestamp(self._clock_ms() / 1000, UTC))
            return certificate, record(certificate_added(certificate, authority))
        except ProfileError as error:
            raise EnrolmentRefused(Reason.ENROLMENT_REFUSED) from error
        except Refusal as refusal:
            raise refused(refusal) from refusal


def issue_token(
    registry: Registry,
    subsystem: str,
    act: Act,
    *,
    server: str,
    address: str,
    root: bytes,
    secret: bytes,
    now_ms: int,
    again: bool = False,
) -> Token:
    """Record a token for the subsystem `subsystem` (a path) and return what is handed over; Refusal otherwise.

    `secret`: 32 fresh random bytes. `server`: the path of the subsystem whose certificate the listener shows. `again`:
    also for one that is enrolled; see TokenIssued.
    """
    state = registry.state()
    newcomer = _entry(state.subsystems.get(subsystem), subsystem)
    if newcomer.is_broker and not newcomer.endpoints:
        raise Refusal(
            RefusalReason.MALFORMED,
            f"a broker enrols with its address: first govbus subsystem endpoints {subsystem} HOST:PORT",
        )
    token = Token(
        subsystem=newcomer.identity,
        server=_entry(state.subsystems.get(server), server).identity,
        address=address,
        root=root,
        secret=secret,
    )
    issued = TokenIssued(token.secret_hash, subsystem, act.operator, now_ms + TOKEN_LIFETIME_MS, again)
    registry.record([issued], act)
    return token


def root_digest(authority: Authority) -> bytes:
    """What tokens pin: SHA-256 of the root above the current issuing CA."""
    return authority.issuer.root.fingerprint(SHA256())


def _entry(found: SubsystemEntry | None, path: str) -> SubsystemEntry:
    if found is None:
        raise Refusal(RefusalReason.UNKNOWN_SUBSYSTEM, f"there is no subsystem {ascii(path)[:200]}; add it first")
    return found


def _verified_csr(csr: bytes, subsystem: SubsystemId) -> bytes:
    if len(csr) > _CSR_BYTES:
        raise EnrolmentRefused(Reason.CSR_INVALID)
    try:
        return verify_csr(csr, expected=subsystem).spki
    except ProfileError as error:
        raise EnrolmentRefused(_PROFILES.get(error.reason, Reason.CSR_INVALID)) from error


def verified_key(proof: KeyProof, subsystem: SubsystemId, now_ms: int) -> bytes:
    """The key's point, proved by itself for `subsystem` and a validity that may be; EnrolmentRefused."""
    try:
        point = verify_possession(proof.possession, subsystem, proof.spki, proof.not_before_ms, proof.not_after_ms)
    except ProfileError as error:
        raise EnrolmentRefused(_PROFILES.get(error.reason, Reason.POSSESSION_UNPROVEN)) from error
    longest = max(proof.not_after_ms - now_ms, proof.not_after_ms - proof.not_before_ms)
    if longest > LONGEST_KEY_MS:
        raise EnrolmentRefused(Reason.KEY_VALIDITY)
    return point


def certificate_added(issued: IssuedCertificate, authority: Authority) -> CertificateAdded:
    """The change that makes a certificate live that `authority` has just issued."""
    identity = issued.identity
    return CertificateAdded(
        digest=identity.certificate_sha256,
        subsystem=identity.subsystem.path,
        key_id=identity.key_id,
        issuer=_issuer_key_id(authority),
        not_before_ms=int(identity.not_before.timestamp()) * 1000,
        not_after_ms=int(identity.not_after.timestamp()) * 1000,
    )


def _issuer_key_id(authority: Authority) -> bytes:
    key = authority.issuer.certificate.public_key()
    assert isinstance(key, EllipticCurvePublicKey)  # noqa: S101 (the bundle's profile says so)
    return signing_key_id(encode_spki(key))


def refused(refusal: Refusal) -> EnrolmentRefused:
    """What the registry refused, as a reason of the bus."""
    return EnrolmentRefused(_REASONS.get(refusal.reason, Reason.ENROLMENT_REFUSED))
