"""Wycheproof's ECDSA P-256 SHA-256, DER (converted) and P1363, under our policy, which is stricter.

Policy: what the vectors call invalid is refused; what they call valid is accepted, except a high s. The tables say how
many valid vectors of each flag that exception refuses, so that a change of behaviour or of the vectors shows.
Source: C2SP/wycheproof, Apache-2.0, https://github.com/C2SP/wycheproof
"""

from collections import Counter
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from native import _ecdsa_py as twin
from native import ecdsa as fast
from native.errors import SignatureInvalid
from tests.vectors.published import load

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
DER = "wycheproof/ecdsa_secp256r1_sha256_test.json"
P1363 = "wycheproof/ecdsa_secp256r1_sha256_p1363_test.json"

# flag: (valid vectors, of which we refuse for a high s)
POLICY: dict[str, dict[str, tuple[int, int]]] = {
    DER: {
        "ArithmeticError": (84, 28),
        "EdgeCasePublicKey": (24, 13),
        "EdgeCaseShamirMultiplication": (1, 0),
        "ModularInverse": (15, 0),
        "PointDuplication": (1, 1),
        "SmallRandS": (8, 0),
        "SpecialCaseHash": (54, 23),
        "ValidSignature": (10, 6),
    },
    P1363: {
        "ArithmeticError": (84, 28),
        "EdgeCasePublicKey": (24, 13),
        "EdgeCaseShamirMultiplication": (1, 0),
        "ModularInverse": (15, 0),
        "PointDuplication": (1, 1),
        "SmallRandS": (8, 0),
        "SpecialCaseHash": (54, 23),
        "ValidSignature": (9, 5),
    },
}

both = pytest.mark.parametrize("module", [fast, twin], ids=["fast", "twin"])
files = pytest.mark.parametrize("name", [DER, P1363], ids=["der", "p1363"])


def vectors_of(name: str) -> list[tuple[bytes, dict[str, Any]]]:
    """(SPKI, test) of every vector."""
    groups = load(name)["testGroups"]
    return [(bytes.fromhex(group["publicKeyDer"]), test) for group in groups for test in group["tests"]]


def fixed(name: str, signature: bytes) -> bytes | None:
    """r || s in 64 bytes, or None where that form cannot hold it or DER forbids it."""
    if name == P1363:
        return signature
    try:
        r, s = decode_dss_signature(signature)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    except (ValueError, OverflowError):
        return None


def accepted(module: ModuleType, spki: bytes, message: bytes, signature: bytes) -> bool:
    """Whether verify raises nothing."""
    try:
        module.PublicKey.from_spki(spki).verify(message, signature)
    except SignatureInvalid:
        return False
    return True


@both
@files
def test_every_vector_under_our_policy(module: ModuleType, name: str) -> None:
    for spki, test in vectors_of(name):
        message, signature = bytes.fromhex(test["msg"]), fixed(name, bytes.fromhex(test["sig"]))
        valid = test["result"] == "valid"
        if signature is None:
            assert not valid, test["tcId"]
            continue
        high = int.from_bytes(signature[32:], "big") > N // 2
        assert accepted(module, spki, message, signature) == (valid and not high), test["tcId"]
        if valid and high:
            low = N - int.from_bytes(signature[32:], "big")
            assert accepted(module, spki, message, signature[:32] + low.to_bytes(32, "big")), test["tcId"]


@files
def test_what_we_refuse_beyond_the_vectors_is_the_table(name: str) -> None:
    valid: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for _, test in vectors_of(name):
        if test["result"] != "valid":
            continue
        signature = fixed(name, bytes.fromhex(test["sig"]))
        assert signature is not None
        for flag in test["flags"]:
            valid[flag] += 1
            refused[flag] += int.from_bytes(signature[32:], "big") > N // 2
    assert {flag: (valid[flag], refused[flag]) for flag in valid} == POLICY[name]


@files
def test_no_vector_is_left_undecided(name: str) -> None:
    assert {test["result"] for _, test in vectors_of(name)} == {"valid", "invalid"}
