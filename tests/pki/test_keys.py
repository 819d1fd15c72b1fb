"""One key has one accepted encoding and one id; weak and foreign keys are named and refused."""

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pki.errors import ProfileError, ProfileReason
from pki.keys import (
    encode_private_key,
    encode_spki,
    generate_private_key,
    load_private_key,
    signing_key_id,
    spki_from_point,
    verify_signing_key_spki,
)
from tests.support.authority import flip

GOOD = encode_spki(generate_private_key().public_key())
PREFIX, POINT = GOOD[:26], GOOD[26:]
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF


def compressed() -> bytes:
    return (
        bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + bytes([2 + POINT[-1] % 2]) + POINT[1:33]
    )


def der_of(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def small_scalar(scalar: int) -> bytes:
    return encode_spki(ec.derive_private_key(scalar, ec.SECP256R1()).public_key())


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

REFUSED = {
    "empty": (b"", ProfileReason.KEY_MALFORMED),
    "trailing byte": (GOOD + b"\0", ProfileReason.KEY_MALFORMED),
    "compressed": (compressed(), ProfileReason.KEY_MALFORMED),
    "hybrid": (PREFIX + bytes([6 + POINT[-1] % 2]) + POINT[1:], ProfileReason.KEY_MALFORMED),
    "infinity": (
        bytes.fromhex("301a301306072a8648ce3d020106082a8648ce3d0301070303000000"),
        ProfileReason.KEY_MALFORMED,
    ),
    "off the curve": (GOOD[:-1] + bytes([GOOD[-1] ^ 1]), ProfileReason.KEY_MALFORMED),
    "zero": (PREFIX + b"\4" + bytes(64), ProfileReason.KEY_MALFORMED),
    "coordinate = p": (PREFIX + b"\4" + P.to_bytes(32, "big") + POINT[33:], ProfileReason.KEY_MALFORMED),
    "p-384": (der_of(ec.generate_private_key(ec.SECP384R1()).public_key()), ProfileReason.KEY_NOT_P256),
    "secp256k1": (der_of(ec.generate_private_key(ec.SECP256K1()).public_key()), ProfileReason.KEY_NOT_P256),
    "ed25519": (der_of(ed25519.Ed25519PrivateKey.generate().public_key()), ProfileReason.KEY_NOT_P256),
    "rsa": (der_of(rsa.generate_private_key(65537, 2048).public_key()), ProfileReason.KEY_NOT_P256),
    "scalar 1": (small_scalar(1), ProfileReason.KEY_WEAK),
    "scalar 16": (small_scalar(16), ProfileReason.KEY_WEAK),
    "scalar -1": (small_scalar(ORDER - 1), ProfileReason.KEY_WEAK),
}


def test_good_key_gives_its_point_and_its_id() -> None:
    assert verify_signing_key_spki(GOOD) == POINT
    assert len(POINT) == 65
    assert spki_from_point(POINT) == GOOD
    assert signing_key_id(GOOD) == hashlib.sha256(GOOD).digest()


@pytest.mark.parametrize("name", REFUSED)
def test_other_key_is_refused(name: str) -> None:
    spki, reason = REFUSED[name]
    with pytest.raises(ProfileError) as caught:
        verify_signing_key_spki(spki)
    assert caught.value.reason is reason


def test_key_truncated_at_every_byte_is_refused() -> None:
    for end in range(len(GOOD)):
        with pytest.raises(ProfileError) as caught:
            verify_signing_key_spki(GOOD[:end])
        assert caught.value.reason is ProfileReason.KEY_MALFORMED


def test_key_with_any_bit_flipped_is_refused() -> None:
    for bit in range(len(GOOD) * 8):
        with pytest.raises(ProfileError):
            verify_signing_key_spki(flip(GOOD, bit))


def test_private_key_round_trips() -> None:
    key = generate_private_key()
    assert load_private_key(encode_private_key(key)).private_numbers() == key.private_numbers()


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        (b"", ProfileReason.MALFORMED),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ProfileReason.MALFORMED),
        (
            generate_private_key().private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"secret"),
            ),
            ProfileReason.MALFORMED,
        ),
        (
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            ProfileReason.KEY_NOT_P256,
        ),
        (encode_private_key(ec.generate_private_key(ec.SECP384R1())), ProfileReason.KEY_NOT_P256),
        (encode_private_key(ec.derive_private_key(1, ec.SECP256R1())), ProfileReason.KEY_WEAK),
    ],
    ids=["empty", "garbage", "encrypted", "ed25519", "p-384", "weak"],
)
def test_other_private_key_is_refused_without_quoting_it(pem: bytes, reason: ProfileReason) -> None:
    with pytest.raises(ProfileError) as caught:
        load_private_key(pem)
    assert caught.value.reason is reason
    assert "BEGIN" not in str(caught.value)
