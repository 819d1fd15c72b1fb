"""The protocol's own vectors: whoever implements docs/protocol.md, section 2, elsewhere must find the same bytes.

protocol_v1.json changes only together with the protocol. Its private key was thrown away; signatures are checked, not
made again.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from native import _batch_py, _digest_py, _ecdsa_py, batch, codec, digest, ecdsa
from native.errors import SignatureInvalid
from tests.native.samples import CODECS, KINDS, Codec

VECTORS: Any = json.loads(Path(__file__).with_name("protocol_v1.json").read_bytes())
Modules = tuple[ModuleType, ModuleType, ModuleType]
FAST: Modules = (digest, ecdsa, batch)
TWIN: Modules = (_digest_py, _ecdsa_py, _batch_py)
both = pytest.mark.parametrize("modules", [FAST, TWIN], ids=["fast", "twin"])


@pytest.mark.parametrize("each", CODECS, ids=lambda each: each.name)
@pytest.mark.parametrize("row", VECTORS["messages"], ids=lambda row: row["message"])
def test_a_message_has_these_bytes(each: Codec, row: Any) -> None:
    kind = next(kind for kind in KINDS if kind.name == row["message"])
    value = each.decode(kind, bytes.fromhex(row["encoded"]))
    assert each.encode(kind, value).hex() == row["encoded"]
    for name, expected in row["fields"].items():
        found = getattr(value, name)
        assert (found.hex() if isinstance(found, bytes) else found) == expected


@both
@pytest.mark.parametrize("row", [row for row in VECTORS["messages"] if "type" in row], ids=lambda row: row["message"])
def test_a_header_has_this_digest_and_leaf(modules: Modules, row: Any) -> None:
    header = bytes.fromhex(row["encoded"])
    assert modules[0].header_digest(row["type"], header).hex() == row["header_digest"]
    assert modules[0].leaf_hash(row["type"], header).hex() == row["leaf"]


@both
@pytest.mark.parametrize("row", VECTORS["bodies"], ids=lambda row: f"{len(row['messages'])} messages")
def test_a_body_has_this_commitment(modules: Modules, row: Any) -> None:
    module = modules[0]
    frames = b"".join(module.frame(bytes.fromhex(message)) for message in row["messages"])
    hasher = module.FrameHasher()
    hasher.update(frames)
    assert frames.hex() == row["frames"]
    assert hasher.finish().hex() == row["frames_digest"]
    commitment = module.body_commitment(bytes.fromhex(row["salt"]), hasher.finish())
    assert commitment.hex() == row["commitment"]


@both
@pytest.mark.parametrize("case", VECTORS["batches"]["cases"], ids=lambda case: f"{len(case['headers'])} headers")
def test_a_batch_is_signed_so(modules: Modules, case: Any) -> None:
    _, keys, batches = modules
    public = keys.PublicKey.from_point(bytes.fromhex(VECTORS["batches"]["public_key"]))
    assert public.key_id.hex() == VECTORS["batches"]["key_id"]
    headers = [bytes.fromhex(header) for header in case["headers"]]
    made = batches.Batch([(case["type"], header) for header in headers])
    assert made.message.hex() == case["signed_bytes"]
    encoded = made.encode(public.key_id, bytes.fromhex(case["value"]))
    assert [each.hex() for each in encoded] == case["signatures"]
    for header, each in zip(headers, encoded, strict=True):
        batches.verify_batch(public, case["type"], header, codec.decode_signature(each))
    high = made.encode(public.key_id, bytes.fromhex(case["value_refused_for_high_s"]))[0]
    with pytest.raises(SignatureInvalid):
        batches.verify_batch(public, case["type"], headers[0], codec.decode_signature(high))
