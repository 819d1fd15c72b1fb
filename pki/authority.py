"""The instance's own authority: a root and an issuing CA, kept in the state directory.

`<state>/authority/` (0700) holds root-key.pem, root.pem, issuing-key.pem, issuing.pem. It is
made whole in a staging directory and renamed into place: a crash leaves either no authority
or all of it, and of two processes that start at once both end up with the same one.

root.pem and issuing.pem may hold several, so that old and new overlap (pki.succession): the
current one of each is that whose key is beside it, wherever it stands in the file.

The root key signs issuing CAs and nothing else, and is not read to issue: an operator may
move root-key.pem to a safe, and everything here goes on. KNOWN: until somebody does, whoever
reads this directory is the authority; its permissions are all that protects it.

Time is an argument. Serials and keys come from the operating system's randomness. What is
issued has passed the profile check that its readers will make.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki import files
from pki.certificates import build_issuer, build_leaf, build_root
from pki.errors import ProfileError, ProfileReason
from pki.identity import SubsystemId, verify_trust_domain
from pki.keys import (
    encode_private_key,
    generate_private_key,
    load_private_key,
    public_key_from_spki,
)
from pki.profiles import MAX_TLS_VALIDITY, TlsIdentity, verify_csr, verify_tls_certificate
from pki.trust import TrustBundle, parse_pem_certificates

__all__ = ["ISSUER_LIFETIME", "ROOT_LIFETIME", "Authority", "IssuedCertificate", "load_bundle"]

ROOT_LIFETIME = timedelta(days=3650)
ISSUER_LIFETIME = timedelta(days=1825)


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A fresh TLS certificate."""

    der: bytes
    chain_pem: bytes
    """Leaf, then issuing CA: what a TLS stack sends."""
    identity: TlsIdentity


class Authority:
    """Issues TLS certificates of one trust domain. Make it with `open`."""

    __slots__ = ("_issuer_certificate", "_issuer_key", "issuer", "trust")

    def __init__(
        self,
        trust: TrustBundle,
        issuer_certificate: x509.Certificate,
        issuer_key: ec.EllipticCurvePrivateKey,
    ) -> None:
        """`trust` holds `issuer_certificate`, whose key is `issuer_key`."""
        if issuer_certificate.public_key() != issuer_key.public_key():
            raise ProfileError(
                ProfileReason.KEY_MISMATCH,
                "the issuing CA's key and certificate do not belong together: restore both from the same backup",
            )
        self.trust = trust
        self.issuer = next(one for one in trust.issuers if one.certificate == issuer_certificate)
        self._issuer_certificate = issuer_certificate
        self._issuer_key = issuer_key

    @classmethod
    def open(cls, state: Path, trust_domain: str, *, now: datetime) -> "Authority":
        """The authority under `state`, made there at the first start.

        Raises FilePermissionError if its files are open to others, ProfileError if they are
        damaged or of another trust domain.
        """
        verify_trust_domain(trust_domain)
        files.ensure_private_directory(state)
        directory = state / "authority"
        if not directory.is_dir() or not any(directory.iterdir()):
            files.publish_directory(directory, lambda d: _create(d, trust_domain, now))
        return cls._load(directory, trust_domain)

    @classmethod
    def _load(cls, directory: Path, trust_domain: str) -> "Authority":
        files.ensure_private_directory(directory)
        root_key = directory / "root-key.pem"
        if root_key.exists():
            files.read_private(root_key)  # only for its permission check
        # The key first: whoever makes a new one writes its certificate before it (pki.succession).
        key = load_private_key(files.read_private(directory / "issuing-key.pem"))
        trust = load_bundle(directory, trust_domain)
        # Former ones stay in the bundle until their leaves have expired.
        own = (one.certificate for one in trust.issuers if one.certificate.public_key() == key.public_key())
        return cls(trust, next(own, trust.issuers[0].certificate), key)

    @property
    def trust_domain(self) -> str:
        """The trust domain whose identities this authority issues."""
        return self.trust.trust_domain

    def issue_tls(
        self,
        spki: bytes,
        subsystem: SubsystemId,
        *,
        now: datetime,
        lifetime: timedelta = MAX_TLS_VALIDITY,
    ) -> IssuedCertificate:
        """A TLS certificate for the key of `spki`, to a subsystem or a broker instance.

        The caller answers for the proof of possession: issue_from_csr checks it.
        """
        if not timedelta() < lifetime <= MAX_TLS_VALIDITY:
            raise ProfileError(ProfileReason.VALIDITY_TOO_LONG, "ask for 24 h or less")
        if now + lifetime > self._issuer_certificate.not_valid_after_utc:
            raise ProfileError(
                ProfileReason.ISSUER_NOT_VALID_NOW,
                "the issuing CA ends before the certificate would: make a new issuing CA",
            )
        certificate = build_leaf(
            public_key_from_spki(spki),
            subsystem,
            issuer=self._issuer_certificate,
            issuer_key=self._issuer_key,
            now=now,
            lifetime=lifetime,
            serial=x509.random_serial_number(),
        )
        der = certificate.public_bytes(Encoding.DER)
        identity = verify_tls_certificate(der, trust=self.trust, now=now, expected=subsystem)
        chain = certificate.public_bytes(Encoding.PEM) + self._issuer_certificate.public_bytes(Encoding.PEM)
        return IssuedCertificate(der, chain, identity)

    def issue_from_csr(
        self,
        csr: bytes,
        subsystem: SubsystemId,
        *,
        now: datetime,
        lifetime: timedelta = MAX_TLS_VALIDITY,
    ) -> IssuedCertificate:
        """As issue_tls, for a DER CSR that proves possession and asks for `subsystem`."""
        request = verify_csr(csr, expected=subsystem)
        return self.issue_tls(request.spki, request.subsystem, now=now, lifetime=lifetime)


def load_bundle(directory: Path, trust_domain: str) -> TrustBundle:
    """Whom the instance believes whose authority lies in `directory`; needs no key. ProfileError, OSError."""
    issuers = parse_pem_certificates((directory / "issuing.pem").read_bytes())
    roots = parse_pem_certificates((directory / "root.pem").read_bytes())
    return TrustBundle.verify(trust_domain, roots=roots, issuers=issuers)


def _create(directory: Path, trust_domain: str, now: datetime) -> None:
    root_key, issuer_key = generate_private_key(), generate_private_key()
    root = build_root(
        root_key,
        trust_domain,
        now=now,
        lifetime=ROOT_LIFETIME,
        serial=x509.random_serial_number(),
    )
    issuer = build_issuer(
        issuer_key.public_key(),
        trust_domain,
        root=root,
        root_key=root_key,
        now=now,
        lifetime=ISSUER_LIFETIME,
        serial=x509.random_serial_number(),
    )
    for name, content in (
        ("root-key.pem", encode_private_key(root_key)),
        ("issuing-key.pem", encode_private_key(issuer_key)),
    ):
        files.write_atomic(directory / name, content)
    for name, certificate in (("root.pem", root), ("issuing.pem", issuer)):
        files.write_atomic(directory / name, certificate.public_bytes(Encoding.PEM), mode=files.PUBLIC)
