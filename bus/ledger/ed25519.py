"""Ed25519 with exactly one accepted form of everything: what signs checkpoints, and later witnesses' cosignatures.

Libcrypto judges the equation (cofactorless, RFC 8032 5.1.7) and that S is below the group's order. What it lets pass
and we do not: a public key or R that is written in a second way (y >= p, or the sign of x = 0), and points of small
order, under which one signature may fit many messages. Pure.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["KEY_BYTES", "SIGNATURE_BYTES", "Ed25519Invalid", "verify_ed25519", "verify_public_key"]

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
P: Final = 2**255 - 19
D: Final = -121665 * pow(121666, -1, P) % P


class Ed25519Invalid(ValueError):
    """Key or signature is not one that counts; the text names the rule, never the bytes."""


def _y_of_small_order() -> frozenset[int]:
    """y of the eight points whose order divides the cofactor: orders 1 and 2 (x = 0), 4 (y = 0) and 8 (x^2 = -y^2)."""
    root = pow(1 + D, (P + 3) // 8, P)
    if root * root % P != (1 + D) % P:
        root = root * pow(2, (P - 1) // 4, P) % P
    found = {0, 1, P - 1}
    for square in ((-1 + root) * pow(D, -1, P) % P, (-1 - root) * pow(D, -1, P) % P):
        y = pow(square, (P + 3) // 8, P)
        if y * y % P != square:
            y = y * pow(2, (P - 1) // 4, P) % P
        if y * y % P == square:
            found |= {y, P - y}
    return frozenset(found)


SMALL_ORDER: Final = _y_of_small_order()


def verify_public_key(key: bytes) -> bytes:
    """The key, if it is 32 bytes that write a point canonically and the point is not of small order."""
    if len(key) != KEY_BYTES:
        raise Ed25519Invalid("an Ed25519 key is 32 bytes")
    _verify_point(key)
    return key


def verify_ed25519(key: bytes, signature: bytes, message: bytes) -> None:
    """Ed25519Invalid unless `signature` is the key's over `message`."""
    verify_public_key(key)
    if len(signature) != SIGNATURE_BYTES:
        raise Ed25519Invalid("an Ed25519 signature is 64 bytes")
    _verify_point(signature[:32])
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError) as error:
        raise Ed25519Invalid("the signature does not verify") from error


def _verify_point(encoded: bytes) -> None:
    y = int.from_bytes(encoded, "little") & ((1 << 255) - 1)
    if y >= P:
        raise Ed25519Invalid("a point is not written in its one canonical form")
    if y in SMALL_ORDER:
        raise Ed25519Invalid("a point is of small order")
