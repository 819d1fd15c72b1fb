"""PEM files that a policy names: a live certificate's digest, end and owner; a signing key's SPKI.

The certificate's chain is not judged here (whoever connects with it is judged by Envoy and by the gate); that it names
the subsystem it is listed for is, because a slip there would make another's certificate live under this name.
"""

import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from native.policy import Certificate
from pki.identity import SubsystemId
from pki.keys import signing_key_id, verify_signing_key_spki
from pki.profiles import ProfileError

__all__ = ["PemError", "parse_certificate_pem", "parse_signing_key_pem"]


class PemError(ValueError):
    """The file is not what was expected; the text says what is."""


def parse_certificate_pem(pem: bytes, owner: SubsystemId) -> Certificate:
    """The first certificate of a PEM chain, which must name `owner` and nobody else."""
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound) as error:
        raise PemError("expected a PEM certificate of this subsystem, the leaf first") from error
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [owner.spiffe_id]:
        raise PemError(f"the certificate is not {owner.path}'s; name the file that was issued to it")
    der = certificate.public_bytes(serialization.Encoding.DER)
    not_after_ms = int(certificate.not_valid_after_utc.timestamp()) * 1000
    return Certificate(hashlib.sha256(der).digest(), owner.spiffe_id, not_after_ms)


def parse_signing_key_pem(pem: bytes) -> tuple[bytes, bytes]:
    """Key id and 65-byte point of a P-256 public key in PEM."""
    try:
        key = serialization.load_pem_public_key(pem)
        spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return signing_key_id(spki), verify_signing_key_spki(spki)
    except (ValueError, ProfileError) as error:
        raise PemError("expected a P-256 public key in PEM (BEGIN PUBLIC KEY)") from error
