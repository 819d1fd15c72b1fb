"""TrustBundle: whom one govbus instance believes, checked once and then only read.

Two levels, never more (protocol.md 1): roots, and issuing CAs each signed by one of them.
Several of each may live side by side, so that a new root or issuing CA overlaps the old.

A CA certificate is P-256, signed with ECDSA SHA-256, critical basicConstraints (path length
1 for a root, 0 for an issuing CA), critical keyUsage keyCertSign + cRLSign, and one URI SAN
`spiffe://<trust-domain>` (SPIFFE X509-SVID 3.1: a signing certificate's id has no path).
An issuing CA is also name-constrained, critically, to the trust domain's DNS names and URIs
(RFC 5280 4.2.1.10), so that its theft is no key to anything else in the same trust store.

Validity in time is judged where the bundle is used, because bundles outlive their checks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from pki._x509 import (
    PARSE_ERRORS,
    parse_certificate,
    verify_algorithm_and_serial,
    verify_embedded_key,
    verify_extension_set,
    verify_instant,
)
from pki.errors import ProfileError, ProfileReason
from pki.identity import SCHEME, verify_trust_domain

__all__ = ["Issuer", "TrustBundle", "parse_pem_certificates", "verify_signed_by"]

MAX_ROOT_VALIDITY = timedelta(days=3660)

CA_KEY_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_ROOT_EXTENSIONS = {
    x509.BasicConstraints.oid: True,
    x509.KeyUsage.oid: True,
    x509.SubjectAlternativeName.oid: False,
    x509.SubjectKeyIdentifier.oid: False,
}
_ISSUER_EXTENSIONS = _ROOT_EXTENSIONS | {
    x509.NameConstraints.oid: True,
    x509.AuthorityKeyIdentifier.oid: False,
}


@dataclass(frozen=True, slots=True)
class Issuer:
    """An issuing CA and the root that signed it."""

    certificate: x509.Certificate
    root: x509.Certificate
    key_identifier: bytes

    def verify_valid_at(self, now: datetime) -> None:
        """Raise ProfileError(ISSUER_NOT_VALID_NOW) unless both are inside their validity."""
        verify_instant(now)
        for certificate in (self.certificate, self.root):
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                raise ProfileError(
                    ProfileReason.ISSUER_NOT_VALID_NOW,
                    "the issuing CA or its root is out of its validity: check this machine's"
                    " clock, or bring the instance's current trust bundle here",
                )


@dataclass(frozen=True, slots=True)
class TrustBundle:
    """The verified roots and issuing CAs of one trust domain. Make it with `verify`."""

    trust_domain: str
    roots: tuple[x509.Certificate, ...]
    issuers: tuple[Issuer, ...]

    @classmethod
    def verify(cls, trust_domain: str, *, roots: Sequence[bytes], issuers: Sequence[bytes]) -> "TrustBundle":
        """Check DER `roots` and `issuers` against the CA profile and each other."""
        verify_trust_domain(trust_domain)
        checked = tuple(_verify_root(der, trust_domain) for der in roots)
        if not checked:
            raise ProfileError(ProfileReason.CA_PROFILE, "a trust bundle needs a root")
        return cls(
            trust_domain,
            checked,
            tuple(_verify_issuer(der, trust_domain, checked) for der in issuers),
        )

    @classmethod
    def verify_pem(cls, trust_domain: str, pem: bytes) -> "TrustBundle":
        """As `verify`, from PEM text: self-issued certificates are the roots."""
        roots: list[bytes] = []
        issuers: list[bytes] = []
        for der in parse_pem_certificates(pem):
            certificate = parse_certificate(der)
            (roots if certificate.subject == certificate.issuer else issuers).append(der)
        return cls.verify(trust_domain, roots=roots, issuers=issuers)

    @property
    def roots_pem(self) -> bytes:
        """What a TLS stack is given as its trusted roots."""
        return b"".join(root.public_bytes(Encoding.PEM) for root in self.roots)

    @property
    def pem(self) -> bytes:
        """Roots, then issuing CAs: what `verify_pem` reads."""
        return self.roots_pem + b"".join(issuer.certificate.public_bytes(Encoding.PEM) for issuer in self.issuers)

    def issuer_of(self, certificate: x509.Certificate) -> Issuer:
        """The issuing CA whose key signed `certificate`; ProfileError if none of ours did.

        Name and authority key identifier choose the candidate, the signature decides.
        """
        try:
            wanted = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        except x509.ExtensionNotFound:
            raise _unknown_issuer() from None
        for issuer in self.issuers:
            if (
                issuer.certificate.subject == certificate.issuer
                and issuer.key_identifier == wanted.value.key_identifier
            ):
                verify_signed_by(certificate, issuer.certificate)
                return issuer
        raise _unknown_issuer()


def parse_pem_certificates(pem: bytes) -> list[bytes]:
    """The DER of each certificate of a PEM text, in order; at least one."""
    try:
        return [c.public_bytes(Encoding.DER) for c in x509.load_pem_x509_certificates(pem)]
    except PARSE_ERRORS as error:
        raise ProfileError(ProfileReason.MALFORMED, "no PEM certificates in it") from error


def verify_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    """Issuer name, inner and outer algorithm, and signature; else ProfileError."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise ProfileError(ProfileReason.BAD_SIGNATURE, "the issuer that it names did not sign it") from error


def permitted_names(trust_domain: str) -> x509.NameConstraints:
    """The name constraints of an issuing CA of this trust domain."""
    return x509.NameConstraints(
        permitted_subtrees=[
            x509.DNSName(trust_domain),
            x509.UniformResourceIdentifier(trust_domain),
        ],
        excluded_subtrees=None,
    )


def _unknown_issuer() -> ProfileError:
    return ProfileError(
        ProfileReason.UNKNOWN_ISSUER,
        "no issuing CA of this instance made it; if the instance changed its CA, bring the current trust bundle here",
    )


def _verify_root(der: bytes, trust_domain: str) -> x509.Certificate:
    root = parse_certificate(der)
    _verify_ca(root, trust_domain, path_length=1, extensions=_ROOT_EXTENSIONS)
    if root.not_valid_after_utc - root.not_valid_before_utc > MAX_ROOT_VALIDITY:
        raise ProfileError(ProfileReason.VALIDITY_TOO_LONG, "a root lives ten years")
    verify_signed_by(root, root)
    return root


def _verify_issuer(der: bytes, trust_domain: str, roots: Sequence[x509.Certificate]) -> Issuer:
    certificate = parse_certificate(der)
    _verify_ca(certificate, trust_domain, path_length=0, extensions=_ISSUER_EXTENSIONS)
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    if constraints.value != permitted_names(trust_domain):
        raise ProfileError(ProfileReason.CA_PROFILE, "an issuing CA is constrained to its trust domain")
    authority = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    for root in roots:
        if root.subject == certificate.issuer and authority.value.key_identifier == _key_identifier(root):
            verify_signed_by(certificate, root)
            return Issuer(certificate, root, _key_identifier(certificate))
    raise _unknown_issuer()


def _verify_ca(
    ca: x509.Certificate,
    trust_domain: str,
    *,
    path_length: int,
    extensions: dict[x509.ObjectIdentifier, bool],
) -> None:
    verify_algorithm_and_serial(ca)
    verify_embedded_key(ca)
    verify_extension_set(ca.extensions, extensions)
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    if not constraints.ca or constraints.path_length != path_length:
        raise ProfileError(ProfileReason.BASIC_CONSTRAINTS, f"CA with path length {path_length} expected")
    if ca.extensions.get_extension_for_class(x509.KeyUsage).value != CA_KEY_USAGE:
        raise ProfileError(ProfileReason.KEY_USAGE, "keyCertSign and cRLSign expected")
    names = ca.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if list(names) != [x509.UniformResourceIdentifier(SCHEME + trust_domain)]:
        raise ProfileError(ProfileReason.TRUST_DOMAIN, f"a CA of {SCHEME}{trust_domain} expected")


def _key_identifier(ca: x509.Certificate) -> bytes:
    return ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
