"""The TLS certificate profile and the CSR profile of protocol.md 1, check by check.

verify_tls_certificate:
 1. one DER certificate, version 3, its signature whole octets
 2. ECDSA with SHA-256; serial of at least 64 random bits
 3. signed by an issuing CA of the trust bundle: until here, nothing in it means anything
 4. that CA and its root are valid now
 5. valid for at most 24 h (plus the backdating that absorbs clock skew), and now
 6. P-256, one exact encoding, on the curve, not a trivial key
 7. empty subject; exactly the profile's extensions: not a CA, digitalSignature only,
    serverAuth + clientAuth only
 8. exactly one URI SAN, a SPIFFE ID; exactly one DNS SAN, derived from it; no other
 9. of the bundle's trust domain, and the expected subsystem where one is expected

It does not know whether the certificate is *live*: that is the policy snapshot's word.
The subject is empty so that identity stands in exactly one place; hence the SAN is critical
(RFC 5280 4.1.2.6).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki._x509 import (
    PARSE_ERRORS,
    parse_certificate,
    verify_algorithm_and_serial,
    verify_embedded_key,
    verify_extension_set,
    verify_instant,
    verify_signature_oid,
    verify_subsystem_names,
    verify_whole_signature,
)
from pki.errors import ProfileError, ProfileReason
from pki.identity import SubsystemId
from pki.keys import signing_key_id, verify_signing_key_spki
from pki.trust import TrustBundle

__all__ = [
    "BACKDATE",
    "MAX_TLS_VALIDITY",
    "ProfileError",
    "ProfileReason",
    "TlsIdentity",
    "VerifiedCsr",
    "signing_key_id",
    "verify_csr",
    "verify_signing_key_spki",
    "verify_tls_certificate",
]

MAX_TLS_VALIDITY = timedelta(hours=24)
BACKDATE = timedelta(minutes=1)
"""Certificates start this much before they are made: twice the promised clock skew."""

LEAF_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
LEAF_EXTENDED_KEY_USAGE = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)

_LEAF_EXTENSIONS = {
    x509.BasicConstraints.oid: True,
    x509.KeyUsage.oid: True,
    x509.ExtendedKeyUsage.oid: False,
    x509.SubjectAlternativeName.oid: True,
    x509.AuthorityKeyIdentifier.oid: False,
}


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """Who a verified TLS certificate says is connected, and until when."""

    subsystem: SubsystemId
    certificate_sha256: bytes
    """What the policy snapshot lists as live; 32 bytes."""
    key_id: bytes
    """SHA-256(SPKI) of the TLS key: it must never be a registered signing key's id."""
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class VerifiedCsr:
    """A request whose maker holds the key and asks for exactly this subsystem's names."""

    subsystem: SubsystemId
    spki: bytes


def verify_tls_certificate(
    der: bytes,
    *,
    trust: TrustBundle,
    now: datetime,
    expected: SubsystemId | None = None,
) -> TlsIdentity:
    """Check one subsystem's TLS certificate; the numbers are the module's.

    `der` is the leaf alone: the issuing CA comes from `trust`, never from the peer.
    Raises ProfileError, its reason naming the first check that failed.
    """
    verify_instant(now)
    certificate = parse_certificate(der)  # 1
    verify_algorithm_and_serial(certificate)  # 2
    issuer = trust.issuer_of(certificate)  # 3
    issuer.verify_valid_at(now)  # 4
    _verify_validity(certificate, now)  # 5
    spki = verify_embedded_key(certificate)  # 6
    _verify_leaf_usage(certificate)  # 7
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    subsystem = verify_subsystem_names(san.value)  # 8
    _verify_expected(subsystem, trust.trust_domain, expected)  # 9
    return TlsIdentity(
        subsystem=subsystem,
        certificate_sha256=hashlib.sha256(der).digest(),
        key_id=signing_key_id(spki),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def verify_csr(der: bytes, *, expected: SubsystemId) -> VerifiedCsr:
    """Check a DER PKCS#10 request for `expected` (RFC 2986); ProfileError otherwise.

    Asked for: an empty subject, and one requested extension, the SAN with the two names of
    the profile. Everything else in a certificate is the authority's decision.
    """
    try:
        csr = x509.load_der_x509_csr(der)
        extensions = csr.extensions
        attributes = [attribute.oid for attribute in csr.attributes]
        subject, signed = csr.subject, csr.is_signature_valid
    except PARSE_ERRORS as error:
        raise ProfileError(ProfileReason.MALFORMED, "not one DER PKCS#10 request") from error
    verify_whole_signature(der, csr.signature)
    spki = verify_embedded_key(csr)
    verify_signature_oid(csr.signature_algorithm_oid)
    if not signed:
        raise ProfileError(ProfileReason.PROOF_OF_POSSESSION, "sign the CSR with the key that it carries")
    _verify_empty_subject(subject)
    names = [x for x in extensions if x.oid == x509.SubjectAlternativeName.oid]
    if len(names) != 1:
        raise ProfileError(ProfileReason.URI_SAN, "request the SAN of the subsystem")
    if len(extensions) != 1 or attributes != [_EXTENSION_REQUEST]:
        raise ProfileError(ProfileReason.EXTENSION_NOT_ALLOWED, "request nothing but the SAN")
    san = extensions.get_extension_for_class(x509.SubjectAlternativeName)
    subsystem = verify_subsystem_names(san.value)
    _verify_expected(subsystem, expected.trust_domain, expected)
    return VerifiedCsr(subsystem, spki)


_EXTENSION_REQUEST = x509.ObjectIdentifier("1.2.840.113549.1.9.14")  # RFC 2985 5.4.2


def _verify_validity(certificate: x509.Certificate, now: datetime) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end - start > MAX_TLS_VALIDITY + BACKDATE:
        raise ProfileError(ProfileReason.VALIDITY_TOO_LONG, "at most 24 h")
    if now < start:
        raise ProfileError(ProfileReason.NOT_YET_VALID, "it starts in the future: compare both machines' clocks")
    if now > end:
        raise ProfileError(ProfileReason.EXPIRED, "renew the certificate")


def _verify_leaf_usage(certificate: x509.Certificate) -> None:
    _verify_empty_subject(certificate.subject)
    extensions = certificate.extensions
    # A subject key identifier is useful to nobody on a leaf, and so it is not in the set.
    verify_extension_set(extensions, _LEAF_EXTENSIONS)
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    if constraints.ca or constraints.path_length is not None:
        raise ProfileError(ProfileReason.BASIC_CONSTRAINTS, "a subsystem is not a CA")
    if extensions.get_extension_for_class(x509.KeyUsage).value != LEAF_KEY_USAGE:
        raise ProfileError(ProfileReason.KEY_USAGE, "exactly digitalSignature expected")
    usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    if sorted(u.dotted_string for u in usages) != sorted(u.dotted_string for u in LEAF_EXTENDED_KEY_USAGE):
        raise ProfileError(ProfileReason.EXTENDED_KEY_USAGE, "exactly serverAuth and clientAuth expected")


def _verify_empty_subject(subject: x509.Name) -> None:
    if len(subject.rdns):
        raise ProfileError(ProfileReason.SUBJECT_NOT_EMPTY, "leave the subject empty: the SAN names the subsystem")


def _verify_expected(subsystem: SubsystemId, trust_domain: str, expected: SubsystemId | None) -> None:
    if subsystem.trust_domain != trust_domain:
        raise ProfileError(ProfileReason.TRUST_DOMAIN, f"an identity of {trust_domain} is expected")
    if expected is not None and subsystem != expected:
        raise ProfileError(ProfileReason.UNEXPECTED_IDENTITY, f"{expected.path} is expected here")
