"""Changes: TLS certificates and signing keys (protocol.md 1). Proof of possession is judged before, by pki."""

from dataclasses import dataclass, replace
from typing import ClassVar

from bus.registry.change import Change, KeyClaim
from bus.registry.draft import Draft
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.shapes import verify_digest, verify_validity
from bus.registry.state import CertificateEntry, KeyEntry
from pki.errors import ProfileError
from pki.keys import signing_key_id, spki_from_point
from pki.profiles import BACKDATE, MAX_TLS_VALIDITY

__all__ = [
    "PUBLICATION_MS",
    "CertificateAdded",
    "CertificateRevoked",
    "IssuerRevoked",
    "SigningKeyAdded",
    "SigningKeyRetired",
    "SigningKeyRevoked",
]

PUBLICATION_MS = 10_000
"""A signing key starts no sooner than this after its event: every gate has it by then."""
_CERTIFICATES, _KEYS = 256, 16
"""Live at once of one subsystem. Whoever renews without end would fill every gate's policy with what it renewed."""
_LONGEST_CERTIFICATE_MS = int((MAX_TLS_VALIDITY + BACKDATE).total_seconds()) * 1000


@dataclass(frozen=True, slots=True)
class CertificateAdded(Change):
    """A TLS certificate was issued; it is live until it ends or leaves. The subsystem's ended ones are forgotten."""

    kind: ClassVar[str] = "certificate.added"
    digest: bytes
    """SHA-256 of the DER."""
    subsystem: str
    key_id: bytes
    """SHA-256 of the key's SPKI."""
    issuer: bytes
    """Key id of the issuing CA."""
    not_before_ms: int
    not_after_ms: int

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystem(self.subsystem)
        if sum(draft.certificates[one].not_after_ms >= at_ms for one in found.certificates) >= _CERTIFICATES:
            raise Refusal(
                RefusalReason.IN_USE, f"{_CERTIFICATES} certificates of it are live; use those, or revoke some"
            )
        verify_digest(self.digest, "a certificate's digest")
        verify_digest(self.key_id, "a key id")
        verify_digest(self.issuer, "the issuing CA's key id")
        verify_validity(self.not_before_ms, self.not_after_ms, at_ms)
        if self.not_after_ms - self.not_before_ms > _LONGEST_CERTIFICATE_MS:
            raise Refusal(RefusalReason.VALIDITY, "a TLS certificate lives 24 h at most")
        if self.issuer in draft.revoked_issuers:
            raise Refusal(RefusalReason.ISSUER_REVOKED, "its issuing CA was revoked; ask another one")
        if self.digest in draft.certificates:
            raise Refusal(RefusalReason.DUPLICATE, "this certificate is live already")
        if self.key_id in draft.keys:
            raise key_known()

    def apply(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystems[self.subsystem]
        kept = [one for one in found.certificates if draft.certificates[one].not_after_ms >= at_ms]
        for ended in set(found.certificates).difference(kept):
            draft.certificates.drop(ended)
        draft.subsystems.put(self.subsystem, replace(found, certificates=(*kept, self.digest)))
        draft.certificates.put(
            self.digest,
            CertificateEntry(self.subsystem, self.key_id, self.issuer, self.not_before_ms, self.not_after_ms),
        )

    def claims(self) -> tuple[KeyClaim, ...]:
        return (KeyClaim(self.key_id, "tls", self.subsystem),)


@dataclass(frozen=True, slots=True)
class CertificateRevoked(Change):
    """It is live no more. Its key stays claimed."""

    kind: ClassVar[str] = "certificate.revoked"
    digest: bytes

    def verify(self, draft: Draft, at_ms: int) -> None:
        if self.digest not in draft.certificates:
            raise Refusal(RefusalReason.UNKNOWN_CERTIFICATE, "no live certificate has this digest")

    def apply(self, draft: Draft, at_ms: int) -> None:
        _drop_certificate(draft, self.digest)


@dataclass(frozen=True, slots=True)
class IssuerRevoked(Change):
    """No certificate of this issuing CA is live any more, and none becomes live."""

    kind: ClassVar[str] = "issuer.revoked"
    issuer: bytes

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.founded()
        verify_digest(self.issuer, "the issuing CA's key id")
        if self.issuer in draft.revoked_issuers:
            raise Refusal(RefusalReason.NO_CHANGE, "this issuing CA was revoked already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.revoked_issuers.put(self.issuer, at_ms)
        for digest in [one for one, found in draft.certificates.items() if found.issuer == self.issuer]:
            _drop_certificate(draft, digest)


@dataclass(frozen=True, slots=True)
class SigningKeyAdded(Change):
    """A subsystem may sign with this key while it is valid. Whoever records it has verified the proof of possession."""

    kind: ClassVar[str] = "signing-key.added"
    subsystem: str
    key_id: bytes
    """SHA-256 of the SPKI."""
    point: bytes
    """The 65-byte uncompressed point."""
    not_before_ms: int
    not_after_ms: int

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.subsystem(self.subsystem)
        try:
            key_id = signing_key_id(spki_from_point(self.point))
        except ProfileError as error:
            raise Refusal(RefusalReason.WEAK_KEY, str(error)) from error
        if key_id != self.key_id:
            raise Refusal(RefusalReason.MALFORMED, "the key id is not the SHA-256 of this key's SPKI")
        verify_validity(self.not_before_ms, self.not_after_ms, at_ms)
        if self.not_before_ms < at_ms + PUBLICATION_MS and draft.founded().founded_ms != at_ms:
            # What is recorded in the founding moment starts at once: no gate serves by this log yet.
            raise Refusal(RefusalReason.TOO_SOON, "a signing key starts no sooner than 10 s after it is registered")
        if sum(one.subsystem == self.subsystem and one.last_ms >= at_ms for one in draft.keys.values()) >= _KEYS:
            raise Refusal(RefusalReason.IN_USE, f"{_KEYS} signing keys of it are valid; use those, or revoke some")
        if key_id in draft.keys or any(found.key_id == key_id for found in draft.certificates.values()):
            raise key_known()

    def apply(self, draft: Draft, at_ms: int) -> None:
        entry = KeyEntry(self.subsystem, self.point, self.not_before_ms, self.not_after_ms)
        draft.keys.put(self.key_id, entry)

    def claims(self) -> tuple[KeyClaim, ...]:
        return (KeyClaim(self.key_id, "signing", self.subsystem),)


@dataclass(frozen=True, slots=True)
class SigningKeyRetired(Change):
    """It ends sooner than it was to, in peace: another one of its subsystem takes its place."""

    kind: ClassVar[str] = "signing-key.retired"
    key_id: bytes
    not_after_ms: int
    """Its new last millisecond."""

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = _signing_key(draft, self.key_id)
        verify_validity(found.not_before_ms, self.not_after_ms, at_ms)
        if self.not_after_ms >= found.not_after_ms:
            raise Refusal(RefusalReason.NO_CHANGE, "this signing key ends by then; a key's life is never made longer")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.keys.put(self.key_id, replace(draft.keys[self.key_id], not_after_ms=self.not_after_ms))


@dataclass(frozen=True, slots=True)
class SigningKeyRevoked(Change):
    """What it signs from this moment on is refused; what was journaled before stays proved."""

    kind: ClassVar[str] = "signing-key.revoked"
    key_id: bytes

    def verify(self, draft: Draft, at_ms: int) -> None:
        _signing_key(draft, self.key_id)

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.keys.put(self.key_id, replace(draft.keys[self.key_id], revoked_ms=at_ms))


def _signing_key(draft: Draft, key_id: bytes) -> KeyEntry:
    found = draft.keys.get(key_id)
    if found is None:
        raise Refusal(RefusalReason.UNKNOWN_KEY, "no signing key has this id")
    if found.revoked_ms is not None:
        raise Refusal(RefusalReason.NO_CHANGE, "this signing key was revoked already")
    return found


def key_known() -> Refusal:
    """One text whoever has the key: the caller need not learn whose it is."""
    return Refusal(RefusalReason.KEY_KNOWN, "this key is known already, and a key is registered once; make a new one")


def _drop_certificate(draft: Draft, digest: bytes) -> None:
    path = draft.certificates[digest].subsystem
    found = draft.subsystems[path]
    draft.subsystems.put(path, replace(found, certificates=tuple(one for one in found.certificates if one != digest)))
    draft.certificates.drop(digest)
