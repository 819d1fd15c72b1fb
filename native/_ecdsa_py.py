"""The readable twin of native.ecdsa over pyca/cryptography. Never used in production."""

import hashlib
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from native.errors import KeyInvalid, SignatureInvalid

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # SEC 2, 2.4.2
SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")  # RFC 5480


class PublicKey:
    """A P-256 public key."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self._key = key
        self.point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.spki = SPKI_PREFIX + self.point
        self.key_id = hashlib.sha256(self.spki).digest()

    @staticmethod
    def from_point(point: bytes) -> "PublicKey":
        """From the uncompressed point."""
        if len(point) != 65 or point[0] != 4:
            raise KeyInvalid("not an uncompressed point")
        try:
            return PublicKey(ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point))
        except ValueError:
            raise KeyInvalid("not on the curve") from None

    @staticmethod
    def from_spki(der: bytes) -> "PublicKey":
        """From the only encoding of an uncompressed P-256 point."""
        if not der.startswith(SPKI_PREFIX):
            raise KeyInvalid("not the SPKI of an uncompressed P-256 point")
        return PublicKey.from_point(der.removeprefix(SPKI_PREFIX))

    def verify(self, message: bytes, signature: bytes) -> None:
        """Raises SignatureInvalid unless 1 <= r < n, 1 <= s <= n/2 and the equation holds."""
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if len(signature) != 64 or not 1 <= r < N or not 1 <= s <= N // 2:
            raise SignatureInvalid
        try:
            self._key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise SignatureInvalid from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and other.point == self.point

    def __hash__(self) -> int:
        return hash(self.point)


class PrivateKey:
    """A P-256 signing key."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public_key = PublicKey(key.public_key())
        self.key_id = self.public_key.key_id

    @staticmethod
    def generate() -> "PrivateKey":
        """A new key."""
        return PrivateKey(ec.generate_private_key(ec.SECP256R1()))

    @staticmethod
    def from_der(der: bytes) -> "PrivateKey":
        """From unencrypted PKCS #8 or SEC 1 DER."""
        try:
            return _p256(load_der_private_key(der, None))
        except (TypeError, UnsupportedAlgorithm, ValueError):
            raise KeyInvalid("not an unencrypted private key") from None

    @staticmethod
    def from_pem(pem: bytes) -> "PrivateKey":
        """From one unencrypted PEM block."""
        if pem.count(b"-----BEGIN") != 1:
            raise KeyInvalid("not one PEM block")
        try:
            return _p256(load_pem_private_key(pem, None))
        except (TypeError, UnsupportedAlgorithm, ValueError):
            raise KeyInvalid("not an unencrypted private key") from None

    def to_der(self) -> bytes:
        """PKCS #8."""
        return self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def to_pem(self) -> bytes:
        """PKCS #8."""
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """r || s with low s: s and n - s verify alike."""
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + min(s, N - s).to_bytes(32, "big")


def _p256(key: object) -> PrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyInvalid("not a P-256 key")
    return PrivateKey(key)


def verify_many(items: Iterable[tuple[PublicKey, bytes, bytes]]) -> None:
    """Raises SignatureInvalid whose indexes name every one that fails."""
    bad = []
    for index, (key, message, signature) in enumerate(items):
        try:
            key.verify(message, signature)
        except SignatureInvalid:
            bad.append(index)
    if bad:
        raise SignatureInvalid(tuple(bad))


def sign_many(key: PrivateKey, messages: Iterable[bytes]) -> list[bytes]:
    """Signatures in the order of the messages."""
    return [key.sign(message) for message in messages]
