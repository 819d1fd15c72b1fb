"""Prepared keys: bounded, and whichever key stands in a place, only the right one's signature verifies."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from native._fast import KeyCache
from native.batch import Batch
from native.ecdsa import PrivateKey

MESSAGE = Batch([("govbus/request/v1", b"a header"), ("govbus/request/v1", b"another")]).message
KEYS = [PrivateKey.generate() for _ in range(8)]


def verifies(cache: KeyCache, owner: PrivateKey, signer: PrivateKey) -> bool:
    return cache.verify(owner.public_key.point, owner.key_id, MESSAGE, signer.sign(MESSAGE))


@pytest.mark.parametrize("log2_keys", [0, 1, 10])
def test_a_signature_verifies_by_its_own_key_alone_though_keys_meet_in_a_place(log2_keys: int) -> None:
    cache = KeyCache(log2_keys)
    for _ in range(2):
        for owner in KEYS:
            assert [verifies(cache, owner, signer) for signer in KEYS] == [owner is signer for signer in KEYS]


def test_threads_that_drive_each_others_keys_out_all_verify() -> None:
    cache = KeyCache(0)
    values = [(key.public_key.point, key.key_id, MESSAGE, key.sign(MESSAGE)) for key in KEYS]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda one: cache.verify(*one), values * 50))


def test_a_point_that_is_none_verifies_nothing() -> None:
    key = KEYS[0]
    point = key.public_key.point
    assert not KeyCache(4).verify(b"\x02" + point[1:], key.key_id, MESSAGE, key.sign(MESSAGE))
    assert not KeyCache(4).verify(point[:64] + bytes([point[64] ^ 1]), key.key_id, MESSAGE, key.sign(MESSAGE))


def test_a_cache_that_makes_no_sense_is_not_made() -> None:
    with pytest.raises(ValueError, match="no key cache"):
        KeyCache(17)
