"""The broker's own credentials on the machine where its authority is: issued, recorded, then used (protocol.md 1).

A certificate is live only while the registry says so, and snapshots take a moment. So a new one is recorded first, and
becomes the one that Envoy shows when every reader has the snapshot that names it. A crash in between costs an unused
certificate. Renewal comes at two thirds of its life, as for everybody.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bus.registry.keys import CertificateAdded
from pki.authority import Authority, IssuedCertificate
from pki.certificates import build_csr
from pki.credentials import store_credentials
from pki.identity import SubsystemId
from pki.keys import encode_private_key, generate_private_key, signing_key_id
from pki.profiles import MAX_TLS_VALIDITY
from pki.trust import parse_pem_certificates

__all__ = ["Fresh", "certificate_ends", "is_due", "live_digest", "make_fresh", "renewal_time"]

_RENEW_AT = 2 / 3


@dataclass(frozen=True, slots=True, repr=False)
class Fresh:
    """A certificate that nobody uses yet."""

    change: CertificateAdded
    key_pem: bytes
    chain_pem: bytes
    trust_pem: bytes

    def use(self, home: Path) -> None:
        """Make it the one in `home`."""
        store_credentials(home, self.key_pem, self.chain_pem, self.trust_pem)


def make_fresh(
    authority: Authority, broker: SubsystemId, *, now: datetime, lifetime: timedelta = MAX_TLS_VALIDITY
) -> Fresh:
    """A new key and certificate, and the change that makes it live."""
    key = generate_private_key()
    issued = authority.issue_from_csr(build_csr(key, broker), broker, now=now, lifetime=lifetime)
    return Fresh(_change(issued, broker), encode_private_key(key), issued.chain_pem, authority.trust.pem)


def live_digest(home: Path) -> bytes | None:
    """SHA-256 of the certificate in `home`; None where there is none."""
    try:
        return sha256(parse_pem_certificates((home / "tls" / "chain.pem").read_bytes())[0]).digest()
    except FileNotFoundError:
        return None


def is_due(home: Path, now: datetime) -> bool:
    """Whether the certificate in `home` is to be replaced at `now`; also one from when the clock was ahead."""
    return not _leaf(home).not_valid_before_utc <= now < renewal_time(home)


def renewal_time(home: Path) -> datetime:
    """When the certificate in `home` is to be replaced."""
    found = _leaf(home)
    life: timedelta = found.not_valid_after_utc - found.not_valid_before_utc
    return found.not_valid_before_utc + life * _RENEW_AT


def certificate_ends(home: Path) -> datetime:
    """When the certificate in `home` ends."""
    return _leaf(home).not_valid_after_utc


def _leaf(home: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((home / "tls" / "chain.pem").read_bytes())


def _change(issued: IssuedCertificate, broker: SubsystemId) -> CertificateAdded:
    identity = issued.identity
    issuer = x509.load_pem_x509_certificates(issued.chain_pem)[1]
    return CertificateAdded(
        digest=identity.certificate_sha256,
        subsystem=broker.path,
        key_id=identity.key_id,
        issuer=signing_key_id(issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        not_before_ms=int(identity.not_before.timestamp()) * 1000,
        not_after_ms=int(identity.not_after.timestamp()) * 1000,
    )
