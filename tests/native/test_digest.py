"""What is hashed: fixed vectors, both implementations, and bodies in any pieces."""

import hashlib
import random
from types import ModuleType
from typing import Any

import pytest

from native import _digest_py as twin
from native import digest as fast
from native.errors import FrameError

both = pytest.mark.parametrize("module", [fast, twin], ids=["fast", "twin"])


@both
def test_fixed_vectors(module: ModuleType) -> None:
    # Computed once with sha256sum over the bytes written out by hand.
    assert module.pae("govbus/request/v1", b"abc") == b"DSSEv1 17 govbus/request/v1 3 abc"
    assert module.pae("t", b"") == b"DSSEv1 1 t 0 "
    assert module.frame(b"hello") == b"\0\0\0\0\x05hello"
    assert module.header_digest("govbus/request/v1", b"abc").hex() == HEADER_DIGEST
    assert module.leaf_hash("govbus/request/v1", b"abc").hex() == LEAF
    assert module.body_commitment(bytes(32), bytes.fromhex(EMPTY)).hex() == EMPTY_COMMITMENT


HEADER_DIGEST = "4c63960c4f354900d89db68099d83dbf3209ef2464f6d9b658a10328e148ad79"
LEAF = "ab5d74f9a8e9ddf2c2cc6eecf9ae6546c0d53584d31934b3b1a4c89955bf3deb"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
EMPTY_COMMITMENT = "1c9ecec90e28d2461650418635878a5c91e49f47586ecf75f2b0cbb94e897112"


@both
@pytest.mark.parametrize("n", [0, 1, 9, 10, 99, 100, 999, 1000, 12345])
def test_the_length_is_written_in_decimal(module: ModuleType, n: int) -> None:
    assert module.pae("x" * 64, bytes(n)) == b"DSSEv1 64 " + b"x" * 64 + f" {n} ".encode() + bytes(n)


@both
@pytest.mark.parametrize("type_", ["", "x" * 65, "é"])
def test_a_type_that_is_none_is_refused(module: ModuleType, type_: str) -> None:
    for function in (module.pae, module.header_digest, module.leaf_hash):
        with pytest.raises(ValueError, match="signed type"):
            function(type_, b"")


@both
@pytest.mark.parametrize(("salt", "digest"), [(31, 32), (32, 33), (0, 32)])
def test_a_short_salt_is_refused(module: ModuleType, salt: int, digest: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        module.body_commitment(bytes(salt), bytes(digest))


BODY = b"".join(fast.frame(bytes([n % 251]) * n) for n in (0, 1, 300, 0, 70_000, 5))


@both
def test_no_split_changes_the_digest(module: ModuleType) -> None:
    chance = random.Random("govbus frames")
    whole = module.FrameHasher()
    whole.update(BODY)
    expected = whole.finish()
    for _ in range(40):
        hasher, at = module.FrameHasher(), 0
        while at < len(BODY):
            some = chance.choice([1, 2, 3, 5, 7, 400, 9000, 50_000])
            hasher.update(BODY[at : at + some])
            at += some
        assert hasher.finish() == hasher.digest() == expected
        assert (hasher.messages, hasher.bytes) == (6, len(BODY))


@both
def test_split_at_every_byte(module: ModuleType) -> None:
    body = module.frame(b"") + module.frame(b"abc")
    for at in range(len(body) + 1):
        hasher = module.FrameHasher()
        hasher.update(body[:at])
        hasher.update(body[at:])
        assert hasher.messages == 2
        assert hasher.finish() == hashlib.sha256(body).digest()


@both
def test_truncated_at_every_byte(module: ModuleType) -> None:
    body = module.frame(b"abc")
    for at in range(1, len(body)):
        hasher = module.FrameHasher()
        hasher.update(body[:at])
        with pytest.raises(FrameError) as refused:
            hasher.finish()
        assert refused.value.reason == "FRAME_INVALID"
        assert hasher.digest() == hashlib.sha256(body[:at]).digest()


@both
def test_no_message_at_all_is_the_empty_digest(module: ModuleType) -> None:
    assert module.FrameHasher().finish().hex() == EMPTY


@both
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x01", "COMPRESSION_NOT_SUPPORTED"),
        (b"\x01\0\0\0\x01x", "COMPRESSION_NOT_SUPPORTED"),
        (b"\x02", "FRAME_INVALID"),
        (b"\xff\xff", "FRAME_INVALID"),
        (b"\0\0\0\0\x0b", "BODY_TOO_LARGE"),
        (b"\0\xff\xff\xff\xff", "BODY_TOO_LARGE"),
        (b"\0\0\0\0\0" * 3, "MESSAGE_COUNT_INVALID"),
        (b"\0\0\0\0\0" * 2 + b"\0", "MESSAGE_COUNT_INVALID"),
        (b"\0\0\0\0\0" * 2 + b"\x01", "COMPRESSION_NOT_SUPPORTED"),
        (b"\0\0\0\0\0\x01", "COMPRESSION_NOT_SUPPORTED"),
    ],
)
@pytest.mark.parametrize("piece", [1, 100])
def test_bad_frames_are_refused_and_stay_refused(module: ModuleType, data: bytes, reason: str, piece: int) -> None:
    hasher = module.FrameHasher(max_message=10, max_messages=2)
    with pytest.raises(FrameError) as refused:
        feed(hasher, data, piece)
    assert refused.value.reason == reason
    for again in (lambda: hasher.update(b""), hasher.finish, hasher.digest):
        with pytest.raises(FrameError) as refused:
            again()
        assert refused.value.reason == reason


def feed(hasher: Any, data: bytes, piece: int) -> None:
    for at in range(0, len(data), piece):
        hasher.update(data[at : at + piece])


@both
def test_a_message_of_exactly_the_limit_is_taken(module: ModuleType) -> None:
    hasher = module.FrameHasher(max_message=10, max_messages=1)
    hasher.update(module.frame(bytes(10)))
    assert len(hasher.finish()) == 32


def test_random_bytes_give_both_the_same_outcome() -> None:
    chance = random.Random("govbus frame bytes")
    for _ in range(3000):
        data = bytes(chance.choice([0, 0, 0, 0, 1, 2, 3, 9]) for _ in range(chance.randint(0, 60)))
        cut = chance.randint(0, len(data))
        assert outcome(fast, data, cut) == outcome(twin, data, cut)


def outcome(module: ModuleType, data: bytes, cut: int) -> object:
    hasher = module.FrameHasher(max_message=1000, max_messages=4)
    try:
        hasher.update(data[:cut])
        hasher.update(data[cut:])
        return hasher.finish(), hasher.messages, hasher.bytes
    except FrameError as refused:
        return refused.reason, hasher.messages, hasher.bytes
