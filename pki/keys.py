"""What a P-256 key must look like, and what it is called.

There is one accepted encoding of a public key: the 91-byte SubjectPublicKeyInfo with the
named curve and an uncompressed point (RFC 5480 2). It is a constant prefix and the point,
so the check is a comparison, not a parser: explicit parameters, compressed points, BER
lengths and trailing bytes have nowhere to hide, and one key has one id.

Key id = SHA-256(SPKI) (protocol.md 1). Private keys are PKCS#8 PEM, unencrypted: the file's
permissions protect them here, a hardware token will elsewhere.
"""

import hashlib
from functools import cache

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki.errors import ProfileError, ProfileReason

__all__ = [
    "encode_private_key",
    "encode_private_key_der",
    "encode_public_pem",
    "encode_spki",
    "generate_private_key",
    "load_private_key",
    "public_key_from_spki",
    "signing_key_id",
    "spki_from_point",
    "verify_signing_key_spki",
]

POINT_BYTES = 65
_SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
_SPKI_BYTES = len(_SPKI_PREFIX) + POINT_BYTES


def verify_signing_key_spki(spki: bytes) -> bytes:
    """Return the 65-byte uncompressed point of an exact P-256 SPKI, or raise ProfileError."""
    public_key_from_spki(spki)
    return spki[len(_SPKI_PREFIX) :]


def public_key_from_spki(spki: bytes) -> ec.EllipticCurvePublicKey:
    """As verify_signing_key_spki, returning the key as a cryptography object."""
    if len(spki) != _SPKI_BYTES or not spki.startswith(_SPKI_PREFIX):
        raise ProfileError(
            _reason_for_other_encoding(spki),
            "send the 91-byte DER SubjectPublicKeyInfo of a P-256 key (uncompressed point)",
        )
    point = spki[len(_SPKI_PREFIX) :]
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError as error:
        raise ProfileError(ProfileReason.KEY_MALFORMED, "not a point of P-256") from error
    if point[1:33] in _trivial_abscissas():
        raise ProfileError(ProfileReason.KEY_WEAK, "anyone can guess this private key; generate a random one")
    return key


def spki_from_point(point: bytes) -> bytes:
    """The SPKI of a 65-byte uncompressed point; raises ProfileError if it is not on P-256."""
    spki = _SPKI_PREFIX + point
    verify_signing_key_spki(spki)
    return spki


def encode_spki(key: ec.EllipticCurvePublicKey) -> bytes:
    """The DER SubjectPublicKeyInfo of `key`."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def encode_public_pem(point: bytes) -> bytes:
    """`BEGIN PUBLIC KEY` text of a 65-byte point: how a public key is handed to people and policies."""
    return public_key_from_spki(spki_from_point(point)).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def signing_key_id(spki: bytes) -> bytes:
    """SHA-256(SPKI), 32 bytes. It names a key; it does not check one."""
    return hashlib.sha256(spki).digest()


def generate_private_key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key from the operating system's randomness, through libcrypto."""
    return ec.generate_private_key(ec.SECP256R1())


def encode_private_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 PEM without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def encode_private_key_der(key: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8 DER without a password: how a key is handed to native code."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read encode_private_key's output; ProfileError for any other kind of key or text."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ProfileError(ProfileReason.MALFORMED, "not an unencrypted PKCS#8 PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ProfileError(ProfileReason.KEY_NOT_P256, "the private key is not an EC key")
    public_key_from_spki(encode_spki(key.public_key()))
    return key


def _reason_for_other_encoding(spki: bytes) -> ProfileReason:
    """Say whether refused bytes are another kind of key or only another spelling of P-256."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return ProfileReason.KEY_MALFORMED
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return ProfileReason.KEY_MALFORMED
    return ProfileReason.KEY_NOT_P256


@cache
def _trivial_abscissas() -> frozenset[bytes]:
    """x of d*G for d in 1..16; -d has the same x. What a broken generator or a joke yields."""
    curve = ec.SECP256R1()
    keys = (ec.derive_private_key(d, curve).public_key() for d in range(1, 17))
    return frozenset(key.public_numbers().x.to_bytes(32, "big") for key in keys)
