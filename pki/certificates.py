"""Building certificates and CSRs that satisfy the profiles. Pure: keys, names, time, serial in.

pki.profiles and pki.trust judge; this module only writes what they accept.
"""

from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pki.identity import SCHEME, SubsystemId
from pki.keys import encode_spki, signing_key_id
from pki.profiles import BACKDATE, LEAF_EXTENDED_KEY_USAGE, LEAF_KEY_USAGE
from pki.trust import CA_KEY_USAGE, permitted_names

__all__ = ["build_csr", "build_issuer", "build_leaf", "build_root"]

EMPTY_NAME = x509.Name([])


def build_csr(key: ec.EllipticCurvePrivateKey, subsystem: SubsystemId) -> bytes:
    """The DER PKCS#10 request of `subsystem` for `key` (profiles.verify_csr)."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(EMPTY_NAME)
        .add_extension(subsystem_names(subsystem), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def build_root(
    key: ec.EllipticCurvePrivateKey,
    trust_domain: str,
    *,
    now: datetime,
    lifetime: timedelta,
    serial: int,
) -> x509.Certificate:
    """A self-signed root of `trust_domain` with path length 1."""
    name = _ca_name("root", key.public_key())
    builder = _builder(name, name, key.public_key(), now=now, lifetime=lifetime, serial=serial)
    return _add_ca_extensions(builder, key.public_key(), trust_domain, path_length=1).sign(key, hashes.SHA256())


def build_issuer(
    public_key: ec.EllipticCurvePublicKey,
    trust_domain: str,
    *,
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
    serial: int,
) -> x509.Certificate:
    """An issuing CA under `root`: path length 0, constrained to the trust domain."""
    builder = _builder(
        _ca_name("issuing CA", public_key),
        root.subject,
        public_key,
        now=now,
        lifetime=lifetime,
        serial=serial,
    )
    return (
        _add_ca_extensions(builder, public_key, trust_domain, path_length=0)
        .add_extension(permitted_names(trust_domain), critical=True)
        .add_extension(_issued_by(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )


def build_leaf(
    public_key: ec.EllipticCurvePublicKey,
    subsystem: SubsystemId,
    *,
    issuer: x509.Certificate,
    issuer_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    lifetime: timedelta,
    serial: int,
) -> x509.Certificate:
    """A subsystem's TLS certificate (profiles.verify_tls_certificate)."""
    return (
        _builder(EMPTY_NAME, issuer.subject, public_key, now=now, lifetime=lifetime, serial=serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(LEAF_KEY_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage(LEAF_EXTENDED_KEY_USAGE), critical=False)
        .add_extension(subsystem_names(subsystem), critical=True)
        .add_extension(_issued_by(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def subsystem_names(subsystem: SubsystemId) -> x509.SubjectAlternativeName:
    """The two names of a subsystem: SPIFFE ID and derived DNS name."""
    return x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier(subsystem.spiffe_id),
            x509.DNSName(subsystem.dns_name),
        ]
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    *,
    now: datetime,
    lifetime: timedelta,
    serial: int,
) -> x509.CertificateBuilder:
    start = now.replace(microsecond=0)  # X.509 times are whole seconds
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(start - BACKDATE)
        .not_valid_after(start + lifetime)
    )


def _add_ca_extensions(
    builder: x509.CertificateBuilder,
    public_key: ec.EllipticCurvePublicKey,
    trust_domain: str,
    *,
    path_length: int,
) -> x509.CertificateBuilder:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SCHEME + trust_domain)])
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), True)
        .add_extension(CA_KEY_USAGE, critical=True)
        .add_extension(names, critical=False)
        .add_extension(_subject_key_identifier(public_key), critical=False)
    )


def _ca_name(role: str, public_key: ec.EllipticCurvePublicKey) -> x509.Name:
    """Distinct for each CA key, so that old and new overlap without being mistaken."""
    mark = signing_key_id(encode_spki(public_key)).hex()[:16]
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"govbus {role} {mark}")])


def _subject_key_identifier(key: ec.EllipticCurvePublicKey) -> x509.SubjectKeyIdentifier:
    # RFC 7093 2, method 1: the leftmost 160 bits of SHA-256; nothing here uses SHA-1.
    return x509.SubjectKeyIdentifier(signing_key_id(encode_spki(key))[:20])


def _issued_by(key: ec.EllipticCurvePublicKey) -> x509.AuthorityKeyIdentifier:
    digest = _subject_key_identifier(key).digest
    return x509.AuthorityKeyIdentifier(digest, None, None)
