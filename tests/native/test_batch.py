"""One signature, many headers: each provable alone, none replaceable, and a remembered success proves only itself."""

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from native import _batch_py as twin
from native import _ecdsa_py, codec, ecdsa
from native import batch as fast
from native.errors import BatchPathInvalid, SignatureInvalid
from native.headers import Signature

REQUEST = "govbus/request/v1"
both = pytest.mark.parametrize("module", [fast, twin], ids=["fast", "twin"])


def new_key(module: ModuleType) -> Any:
    return (ecdsa if module is fast else _ecdsa_py).PrivateKey.generate()


def headers(n: int) -> list[tuple[str, bytes]]:
    return [(REQUEST, b"header %d" % i) for i in range(n)]


@both
@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 100, 1023, 1024])
def test_each_header_of_a_batch_is_provable_alone(module: ModuleType, size: int) -> None:
    key = new_key(module)
    items = headers(size)
    encoded = module.sign_batch(key, items)
    for index in range(0, size, max(1, size // 20)):
        signature = codec.decode_signature(encoded[index])
        assert (signature.size, signature.index, signature.key_id) == (size, index, key.key_id)
        module.verify_batch(key.public_key, *items[index], signature)


@pytest.mark.parametrize("size", [1, 2, 7, 33, 256])
def test_both_encode_and_verify_the_same(size: int) -> None:
    items = headers(size)
    key = ecdsa.PrivateKey.generate()
    quick, slow = fast.Batch(items), twin.Batch(items)
    assert quick.message == slow.message
    value = key.sign(quick.message)
    assert quick.encode(key.key_id, value) == slow.encode(key.key_id, value)
    public = _ecdsa_py.PublicKey.from_point(key.public_key.point)
    for index, each in enumerate(quick.encode(key.key_id, value)):
        twin.verify_batch(public, *items[index], codec.decode_signature(each))


def test_fixed_signed_bytes() -> None:
    # PAE by hand: type of 15 characters, body of 34 bytes, size 2 as two bytes, then the root.
    batch = fast.Batch([(REQUEST, b"a"), (REQUEST, b"b")])
    assert batch.message[:31] == b"DSSEv1 15 govbus/batch/v1 34 \x00\x02"
    assert len(batch.message) == 63


@both
def test_a_batch_has_1_to_1024_headers(module: ModuleType) -> None:
    for size in (0, 1025, 3000):
        with pytest.raises(ValueError, match="1 to 1,024"):
            module.Batch(headers(size))


def changed(signature: Signature, **fields: Any) -> Signature:
    return replace(signature, **fields)


@both
def test_size_index_and_path_must_belong_together(module: ModuleType) -> None:
    key = new_key(module)
    items = headers(5)
    encoded = module.sign_batch(key, items)
    good = codec.decode_signature(encoded[2])
    wrong = [
        changed(good, size=0),
        changed(good, size=2),
        changed(good, size=9),
        changed(good, size=1025),
        changed(good, size=2**40),
        changed(good, size=-1),
        changed(good, index=4),
        changed(good, index=5),
        changed(good, index=-1),
        changed(good, index=2**64),
        changed(good, path=b""),
        changed(good, path=good.path[:-32]),
        changed(good, path=good.path[32:]),
        changed(good, path=good.path + bytes(32)),
        changed(good, path=good.path[:-1]),
        changed(good, path=good.path + b"\0"),
        changed(good, path=bytes(32 * 40)),
    ]
    for each in wrong:
        with pytest.raises(BatchPathInvalid) as refused:
            module.verify_batch(key.public_key, *items[2], each)
        assert refused.value.reason == "BATCH_PATH_INVALID"


def altered(key: Any, good: Signature) -> list[tuple[str, bytes, Signature]]:
    """Everything that may be exchanged while size, index and path still belong together."""
    flipped = bytes([good.value[0] ^ 1]) + good.value[1:]
    return [
        (REQUEST, b"header 3", good),
        ("govbus/response/v1", b"header 2", good),
        (REQUEST, b"header 2", changed(good, index=3)),
        (REQUEST, b"header 2", changed(good, size=6)),
        (REQUEST, b"header 2", changed(good, path=bytes(32) + good.path[32:])),
        (REQUEST, b"header 2", changed(good, value=flipped)),
        (REQUEST, b"header 2", changed(good, value=bytes(64))),
        (REQUEST, b"header 2", changed(good, value=b"")),
        (REQUEST, b"header 2", changed(good, value=good.value + b"\0")),
        (REQUEST, b"header 2", changed(good, key_id=bytes(32))),
        (REQUEST, b"header 2", changed(good, key_id=b"")),
        (REQUEST, b"header 2", changed(good, algorithm=2)),
        (REQUEST, b"header 2", changed(good, algorithm=0)),
    ]


@both
@pytest.mark.parametrize("remembered", [False, True])
def test_nothing_of_a_signed_header_can_be_exchanged(module: ModuleType, remembered: bool) -> None:
    key, other = new_key(module), new_key(module)
    items = headers(8)
    cache = module.SignatureCache() if remembered else None
    good = codec.decode_signature(module.sign_batch(key, items)[2])
    module.verify_batch(key.public_key, *items[2], good, cache)
    for type_, header, signature in altered(key, good):
        for _ in range(2):  # a failure must not be remembered as a success
            with pytest.raises((SignatureInvalid, BatchPathInvalid)):
                module.verify_batch(key.public_key, type_, header, signature, cache)
    for foreign in (good, changed(good, key_id=other.key_id)):
        with pytest.raises(SignatureInvalid):
            module.verify_batch(other.public_key, *items[2], foreign, cache)
    module.verify_batch(key.public_key, *items[2], good, cache)


@both
def test_a_batch_costs_one_verification(module: ModuleType) -> None:
    key = new_key(module)
    items = headers(200)
    cache = module.SignatureCache()
    for item, encoded in zip(items, module.sign_batch(key, items), strict=True):
        module.verify_batch(key.public_key, *item, codec.decode_signature(encoded), cache)
    assert (cache.hits, cache.misses) == (199, 1)


def test_a_busy_signer_forgets_its_own_and_nobody_elses() -> None:
    cache = fast.SignatureCache(10)
    quiet, busy = ecdsa.PrivateKey.generate(), ecdsa.PrivateKey.generate()
    kept = codec.decode_signature(fast.sign_batch(quiet, headers(1))[0])
    fast.verify_batch(quiet.public_key, *headers(1)[0], kept, cache)
    for n in range(600):
        item = (REQUEST, b"busy %d" % n)
        fast.verify_batch(busy.public_key, *item, codec.decode_signature(fast.sign_batch(busy, [item])[0]), cache)
    assert (cache.hits, cache.misses) == (0, 601)
    fast.verify_batch(quiet.public_key, *headers(1)[0], kept, cache)
    assert cache.hits == 1


def test_more_signers_than_rows_only_cost_time() -> None:
    cache = fast.SignatureCache(2)
    keys = [ecdsa.PrivateKey.generate() for _ in range(12)]
    for _ in range(3):
        for key in keys:
            signature = codec.decode_signature(fast.sign_batch(key, headers(1))[0])
            fast.verify_batch(key.public_key, *headers(1)[0], signature, cache)
            fast.verify_batch(key.public_key, *headers(1)[0], signature, cache)
    assert (cache.hits, cache.misses) == (36, 36)


@pytest.mark.parametrize("log2_signers", [0, 1, 21, 64])
def test_a_cache_of_another_size_is_refused(log2_signers: int) -> None:
    with pytest.raises(ValueError, match="2 to 20"):
        fast.SignatureCache(log2_signers)


def test_many_threads_share_a_cache() -> None:
    cache = fast.SignatureCache(4)
    keys = [ecdsa.PrivateKey.generate() for _ in range(6)]
    work = [(key, item, codec.decode_signature(encoded)) for key in keys for item, encoded in signed(key)]

    def verify(seed: int) -> int:
        chance = random.Random(seed)
        refused = 0
        for _ in range(400):
            key, item, signature = chance.choice(work)
            fast.verify_batch(key.public_key, *item, signature, cache)
            try:
                fast.verify_batch(key.public_key, item[0], item[1] + b"!", signature, cache)
            except SignatureInvalid:
                refused += 1
        return refused

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(verify, range(6))) == [400] * 6
    assert cache.hits + cache.misses == 6 * 800


def signed(key: ecdsa.PrivateKey) -> list[tuple[tuple[str, bytes], bytes]]:
    return list(zip(headers(16), fast.sign_batch(key, headers(16)), strict=True))
