"""All published Merkle vectors: inclusion, consistency, and both for subtrees; fast and twin.

Policy: what the vectors call wrong is refused; what they call right is accepted, except the cases of STRICTER.
Source: transparency-dev/merkle, Apache-2.0, https://github.com/transparency-dev/merkle
"""

import base64
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from native import _merkle_py as twin
from native import merkle as fast
from native.errors import MerkleError
from tests.vectors.published import cases

HASH = "a hash is 32 bytes here, not text of 12"
EMPTY = "an empty subtree proves nothing, whatever the root: refused like consistency from size 0"
ONE = "sizes-are-equal-one-and-proof-is-empty.json"
STRICTER: dict[str, dict[str, str]] = {
    "consistency": {f"additional/{ONE}": HASH},
    "subtreeconsistency": {
        f"additional/{ONE}": HASH,
        **{
            f"additional/subtree-is-empty-{sizes}subtree-root-valid-{root}proof-is-empty.json": EMPTY
            for sizes in ("", "sizes-are-equal-zero-", "sizes-are-equal-one-")
            for root in ("", "tree-root-random-")
        },
    },
}

both = pytest.mark.parametrize("module", [fast, twin], ids=["fast", "twin"])


def hashes(case: Any) -> list[bytes]:
    """The proof's hashes."""
    return [base64.b64decode(each) for each in case["proof"] or []]


def digest(case: Any, name: str) -> bytes:
    """A hash of the case; absent ones are empty."""
    return base64.b64decode(case[name] or "")


def inclusion(module: ModuleType, case: Any) -> None:
    module.verify_inclusion(
        digest(case, "leafHash"), case["treeSize"], case["leafIdx"], hashes(case), digest(case, "root")
    )


def consistency(module: ModuleType, case: Any) -> None:
    module.verify_consistency(case["size1"], case["size2"], digest(case, "root1"), digest(case, "root2"), hashes(case))


def subtree_inclusion(module: ModuleType, case: Any) -> None:
    module.verify_subtree_inclusion(
        digest(case, "leafHash"), case["start"], case["end"], case["leafIdx"], hashes(case), digest(case, "root")
    )


def subtree_consistency(module: ModuleType, case: Any) -> None:
    module.verify_subtree_consistency(
        case["start"], case["end"], case["size"], digest(case, "root1"), digest(case, "root2"), hashes(case)
    )


@both
@pytest.mark.parametrize(
    ("folder", "verify"),
    [
        ("inclusion", inclusion),
        ("consistency", consistency),
        ("subtreeinclusion", subtree_inclusion),
        ("subtreeconsistency", subtree_consistency),
    ],
)
def test_every_published_proof(module: ModuleType, folder: str, verify: Callable[[ModuleType, Any], None]) -> None:
    found = cases(f"merkle/testdata/{folder}")
    wrong = []
    stricter = STRICTER.get(folder, {})
    assert set(stricter) <= {name for name, case in found if not case["wantErr"]}
    for name, case in found:
        try:
            verify(module, case)
            refused = False
        except MerkleError:
            refused = True
        if refused != (case["wantErr"] or name in stricter):
            wrong.append((name, case["desc"]))
    assert not wrong
    assert {case["wantErr"] for _, case in found} == {True, False}
