"""Checks that leaf certificates, CA certificates and CSRs share (RFC 5280, narrowed).

Everything raises ProfileError. cryptography parses strictly (DER, one structure, no trailing
bytes, no duplicate extensions); what it tolerates beyond the profile is refused here.
"""

from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import SignatureAlgorithmOID

from pki.errors import ProfileError, ProfileReason
from pki.identity import IdentityError, SubsystemId, parse_spiffe_id
from pki.keys import encode_spki, public_key_from_spki

MIN_SERIAL_BITS = 64
MAX_SERIAL_BITS = 159  # 20 bytes of DER integer, sign bit clear (RFC 5280 4.1.2.2)

# x509 raises each of these for some malformed or exotic content, sometimes only on access.
PARSE_ERRORS = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    Warning,  # what cryptography still tolerates with a warning is malformed under -W error
)


def parse_certificate(der: bytes) -> x509.Certificate:
    """One DER certificate, version 3, with readable extensions; nothing else is checked."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions
        # These are decoded on access only: decode them here, where a failure has its name.
        _ = (certificate.issuer, certificate.subject, certificate.signature_algorithm_parameters)
        _ = (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    except PARSE_ERRORS as error:
        raise ProfileError(ProfileReason.MALFORMED, "not one DER X.509 certificate") from error
    verify_whole_signature(der, certificate.signature)
    if certificate.version is not x509.Version.v3 or not len(extensions):
        raise ProfileError(ProfileReason.VERSION, "the certificate must be version 3")
    return certificate


def verify_algorithm_and_serial(certificate: x509.Certificate) -> None:
    """ECDSA with SHA-256, and a serial that leaves room for 64 random bits."""
    verify_signature_oid(certificate.signature_algorithm_oid)
    bits = certificate.serial_number.bit_length()
    if certificate.serial_number <= 0 or not MIN_SERIAL_BITS <= bits <= MAX_SERIAL_BITS:
        raise ProfileError(ProfileReason.SERIAL, "the serial must be 64 to 159 random bits")


def verify_whole_signature(der: bytes, signature: bytes) -> None:
    """The structure ends with a BIT STRING of whole octets (RFC 5480 A): no unused bits.

    Otherwise a stranger could respell that count, which is not signed, and so change the digest.
    """
    if not der.endswith(b"\0" + signature):
        raise ProfileError(ProfileReason.MALFORMED, "the signature is not a string of whole octets")


def verify_signature_oid(oid: x509.ObjectIdentifier) -> None:
    """Only ECDSA with SHA-256."""
    if oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        raise ProfileError(ProfileReason.SIGNATURE_ALGORITHM, "sign with ECDSA P-256 SHA-256")


def verify_embedded_key(subject: x509.Certificate | x509.CertificateSigningRequest) -> bytes:
    """The exact P-256 SPKI of a certificate or CSR (keys.public_key_from_spki)."""
    try:
        key = subject.public_key()
    except PARSE_ERRORS as error:
        raise ProfileError(ProfileReason.KEY_MALFORMED, "the public key is unreadable") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ProfileError(ProfileReason.KEY_NOT_P256, "generate a P-256 key")
    spki = encode_spki(key)
    public_key_from_spki(spki)
    signed = subject.tbs_certificate_bytes if isinstance(subject, x509.Certificate) else subject.tbs_certrequest_bytes
    # The object above is decoded: only the bytes show that the point was sent uncompressed.
    if spki not in signed:
        raise ProfileError(ProfileReason.KEY_MALFORMED, "send the P-256 point uncompressed")
    return spki


def verify_extension_set(extensions: x509.Extensions, criticality: Mapping[x509.ObjectIdentifier, bool]) -> None:
    """Exactly these extensions, each with exactly this criticality."""
    found = {extension.oid: extension.critical for extension in extensions}
    for oid, critical in criticality.items():
        if oid not in found:
            raise ProfileError(
                _REASON_WHEN_ABSENT.get(oid, ProfileReason.EXTENSION_NOT_ALLOWED),
                f"extension {oid.dotted_string} is missing",
            )
        if found.pop(oid) is not critical:
            raise ProfileError(
                ProfileReason.EXTENSION_NOT_ALLOWED,
                f"extension {oid.dotted_string} must{'' if critical else ' not'} be critical",
            )
    for oid in found:
        raise ProfileError(ProfileReason.EXTENSION_NOT_ALLOWED, f"extension {oid.dotted_string} is not allowed")


def verify_subsystem_names(san: x509.SubjectAlternativeName) -> SubsystemId:
    """Exactly one URI (a subsystem's SPIFFE ID) and exactly the one DNS name derived from it."""
    uris = [name.value for name in san if isinstance(name, x509.UniformResourceIdentifier)]
    names = [name.value for name in san if isinstance(name, x509.DNSName)]
    if len(uris) + len(names) != len(list(san)):
        raise ProfileError(ProfileReason.OTHER_SAN, "only a URI and a DNS name may stand in it")
    if len(uris) != 1:
        raise ProfileError(ProfileReason.URI_SAN, f"one URI SAN expected, {len(uris)} found")
    if len(names) != 1:
        raise ProfileError(ProfileReason.DNS_SAN, f"one DNS SAN expected, {len(names)} found")
    try:
        subsystem = parse_spiffe_id(uris[0])
    except IdentityError as error:
        raise ProfileError(ProfileReason.IDENTITY_MALFORMED, error.reason.value) from error
    if names[0] != subsystem.dns_name:
        raise ProfileError(ProfileReason.DNS_NOT_DERIVED, f"the DNS SAN must be {subsystem.dns_name}")
    return subsystem


def verify_instant(now: datetime) -> datetime:
    """Time is an aware datetime everywhere; a naive one is a programming error."""
    if now.tzinfo is None:
        raise ValueError("pass an aware datetime, for example datetime.now(timezone.utc)")
    return now


_REASON_WHEN_ABSENT = {
    x509.BasicConstraints.oid: ProfileReason.BASIC_CONSTRAINTS,
    x509.KeyUsage.oid: ProfileReason.KEY_USAGE,
    x509.ExtendedKeyUsage.oid: ProfileReason.EXTENDED_KEY_USAGE,
    x509.SubjectAlternativeName.oid: ProfileReason.URI_SAN,
}
