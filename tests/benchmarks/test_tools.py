"""The load tools speak the protocol: what the corpus signs verifies, and client and provider agree with each other.

No time is judged here. The answers' signatures are judged by the gate whenever the benchmark runs.
"""

import os
import struct
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.build import Tools, build_tools, has_nghttp2
from benchmarks.tools import LoadPlan, LoadRun, Provider, make_corpus
from benchmarks.world import METHOD, World, make_world
from native.batch import verify_batch
from native.codec import decode_request_header, decode_signature
from native.digest import REQUEST_TYPE, body_commitment
from native.ecdsa import PublicKey
from pki.signer import FileSigner

pytestmark = pytest.mark.skipif(not has_nghttp2(), reason="libnghttp2-dev is not installed; make bench installs it")

NATIVE = Path(__file__).resolve().parents[2] / "benchmarks" / "native"


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    return build_tools() if os.access(NATIVE, os.W_OK) else build_tools(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world") / "state", now=datetime.now(UTC))


def records(corpus: bytes) -> Iterator[tuple[bytes, bytes, bytes, bytes]]:
    """Request header, signature, salt, frame (benchmarks/native/corpus.h)."""
    at = 8 + 8 + 8 + 208
    while at < len(corpus):
        size, request, signature, salt, _, body = struct.unpack_from("<IHHHHI", corpus, at)
        text = corpus[at + 16 : at + size]
        ends = (request, request + signature, request + signature + salt)
        parts = (text[: ends[0]], text[ends[0] : ends[1]], text[ends[1] : ends[2]])
        header, proof, salt_bytes = (b64decode(part + b"=" * (-len(part) % 4)) for part in parts)
        yield header, proof, salt_bytes, text[ends[2] : ends[2] + body]
        at += size


@pytest.mark.parametrize("batch", [1, 64])
def test_every_request_of_a_corpus_is_signed_as_the_protocol_asks(
    tools: Tools, world: World, tmp_path: Path, batch: int
) -> None:
    make_corpus(tools, world, tmp_path / "corpus", count=100, batch=batch, body=300)
    key = PublicKey.from_point(FileSigner.load(world.signing_key(world.client)).public_point)
    found = list(records((tmp_path / "corpus").read_bytes()))
    for header, proof, salt, frame in found:
        verify_batch(key, REQUEST_TYPE, header, decode_signature(proof), None)
        request = decode_request_header(header)
        assert request.body_commitment == body_commitment(salt, sha256(frame).digest())
        assert request.method == METHOD
        assert frame[:5] == b"\0" + (300).to_bytes(4, "big")
    assert len({decode_request_header(header).request_id for header, *_ in found}) == 100


def test_client_and_provider_agree_on_every_call(tools: Tools, world: World, tmp_path: Path) -> None:
    make_corpus(tools, world, tmp_path / "corpus", count=2_000, batch=64, body=300)
    plan = LoadPlan(
        connect=world.provider_listens,
        server_name=world.provider.dns_name,
        corpus=tmp_path / "corpus",
        seconds=0.5,
        connections=2,
        streams=16,
    )
    with Provider(tools, world) as provider:
        with LoadRun(tools, world, plan) as run:
            found = run.go()
        counters = provider.counters()
    assert found["ok"] == found["calls"] == counters["calls"] > 0
    assert found["lost"] == found["altered"] == found["unsigned"] == 0
    assert not found["refusals"]
    assert 0 < found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] <= found["latency_ms"]["max"]
    assert 1 <= counters["batches"] <= counters["calls"]
