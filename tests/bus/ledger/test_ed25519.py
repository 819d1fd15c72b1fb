"""Ed25519 has one form of everything (bus.ledger.ed25519): published edge cases, held to our policy."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bus.ledger.ed25519 import SMALL_ORDER, D, Ed25519Invalid, P, verify_ed25519
from tests.vectors.published import load

REFUSED = {"low_order_A", "low_order_R", "non_canonical_A", "non_canonical_R"}


def accepts(key: bytes, signature: bytes, message: bytes) -> bool:
    try:
        verify_ed25519(key, signature, message)
    except Ed25519Invalid:
        return False
    return True


def test_the_small_order_points_are_those_of_the_curve() -> None:
    assert len(SMALL_ORDER) == 5
    eight = SMALL_ORDER - {0, 1, P - 1}
    assert all((D * pow(y, 4, P) + 2 * y * y) % P == 1 for y in eight)  # 2P has y = 0, so P has order 8


def test_the_speccheck_cases_are_judged_as_our_policy_says() -> None:
    cases = load("ed25519/speccheck_cases.json")
    found = [accepts(*(bytes.fromhex(one[name]) for name in ("pub_key", "signature", "message"))) for one in cases]
    assert "".join("V" if one else "X" for one in found) == "XXXVXXXXXXXX"


def test_no_small_order_or_respelled_point_of_cctv_is_accepted() -> None:
    accepted = 0
    for one in load("ed25519/cctv_ed25519vectors.json"):
        key, signature = bytes.fromhex(one["key"]), bytes.fromhex(one["sig"])
        if accepts(key, signature, one["msg"].encode()):
            accepted += 1
            assert not REFUSED & set(one["flags"] or ()), one["number"]
    assert accepted


def test_the_wycheproof_cases_are_judged_as_published() -> None:
    for group in load("wycheproof/ed25519_test.json")["testGroups"]:
        key = bytes.fromhex(group["publicKey"]["pk"])
        for one in group["tests"]:
            found = accepts(key, bytes.fromhex(one["sig"]), bytes.fromhex(one["msg"]))
            assert found == (one["result"] == "valid"), one["tcId"]


def test_a_flipped_bit_is_refused_wherever_it_is() -> None:
    private = Ed25519PrivateKey.generate()
    key, message = private.public_key().public_bytes_raw(), os.urandom(40)
    signature = private.sign(message)
    assert accepts(key, signature, message)
    for at in range(64 * 8):
        flipped = bytearray(signature)
        flipped[at // 8] ^= 1 << at % 8
        assert not accepts(key, bytes(flipped), message)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    assert not accepts(os.urandom(length), os.urandom(64), b"")
    assert not accepts(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), os.urandom(length * 2 + 1), b"")
