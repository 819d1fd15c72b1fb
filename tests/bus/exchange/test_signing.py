"""Batches: one signature for what is asked for together, no waiting alone, and nobody left without an answer."""

import asyncio
import threading
import time
from typing import Any

import pytest

from bus.exchange.signing import MAX_BATCH, BatchSigner
from native.batch import verify_batch
from native.codec import decode_signature
from native.ecdsa import PrivateKey

TYPE = "govbus/request/v1"


class SlowKey:
    """A token that takes its time."""

    def __init__(self, seconds: float) -> None:
        self.key = PrivateKey.generate()
        self.seconds = seconds
        self.threads: set[str] = set()

    @property
    def key_id(self) -> bytes:
        return self.key.key_id

    def sign(self, message: bytes) -> bytes:
        self.threads.add(threading.current_thread().name)
        time.sleep(self.seconds)
        return self.key.sign(message)


class HeldKey(SlowKey):
    """A token that signs nothing until it is let go; then it is slow for good, as far as is known."""

    def __init__(self) -> None:
        super().__init__(0)
        self.entered, self.released = threading.Event(), threading.Event()

    def sign(self, message: bytes) -> bytes:
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        assert self.released.wait(60)
        return self.key.sign(message)


class StoppedClock:
    """What the signer measures by: signatures alone move it, so that no busy machine is in the measure."""

    def __init__(self, key: SlowKey, monkeypatch: pytest.MonkeyPatch) -> None:
        self.each_takes, self._now, self._sign = 0.0, 0.0, key.sign
        monkeypatch.setattr(key, "sign", self._signed)
        monkeypatch.setattr(time, "perf_counter", lambda: self._now)

    def _signed(self, message: bytes) -> bytes:
        self._now += self.each_takes
        return self._sign(message)


class BrokenKey(SlowKey):
    """A token that was pulled out."""

    def sign(self, message: bytes) -> bytes:
        raise OSError("the token is gone")


async def warm(key: object) -> BatchSigner:
    signer = BatchSigner(key)  # type: ignore[arg-type]  # each test's key has the two members
    await signer.sign(TYPE, b"first")
    return signer


async def test_headers_of_one_tick_share_one_signature_and_each_verifies_alone() -> None:
    key = PrivateKey.generate()
    sizes: list[int] = []
    signer = BatchSigner(key, on_batch=sizes.append)
    headers = [b"header %d" % i for i in range(100)]
    signatures = await asyncio.gather(*(signer.sign(TYPE, header) for header in headers))
    assert sizes == [100]
    assert signer.mean_batch_size == 100
    for header, signature in zip(headers, signatures, strict=True):
        verify_batch(key.public_key, TYPE, header, decode_signature(signature), None)


async def test_lone_header_is_not_delayed(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = await warm(PrivateKey.generate())
    loop, held_back = asyncio.get_running_loop(), []
    call_later = loop.call_later

    def recorded(delay: float, callback: Any, *arguments: Any, **named: Any) -> asyncio.TimerHandle:
        if callback == signer._flush:
            held_back.append(delay)
        return call_later(delay, callback, *arguments, **named)

    monkeypatch.setattr(loop, "call_later", recorded)
    for _ in range(20):
        await asyncio.sleep(0.002)  # longer than two batches of one are kept apart
        await signer.sign(TYPE, b"alone")
    assert held_back == []
    assert signer.mean_batch_size == 1


async def test_more_than_a_batch_holds_goes_into_the_next() -> None:
    sizes: list[int] = []
    key = PrivateKey.generate()
    signer = BatchSigner(key, on_batch=sizes.append)
    await asyncio.gather(*(signer.sign(TYPE, b"%d" % i) for i in range(MAX_BATCH + 5)))
    assert sizes == [MAX_BATCH, 5]


async def test_slow_signer_works_in_its_thread_and_gathers_what_arrives_meanwhile() -> None:
    key = HeldKey()
    signer = BatchSigner(key)
    first = asyncio.ensure_future(signer.sign(TYPE, b"first"))
    assert await asyncio.to_thread(key.entered.wait, 60)
    others = [asyncio.ensure_future(signer.sign(TYPE, b"%d" % i)) for i in range(60)]
    await asyncio.sleep(0.02)  # longer than any pause that company costs
    assert signer.batches == 0
    key.released.set()
    await asyncio.gather(first, *others)
    assert signer.batches == 2
    assert all(name.startswith("govbus-signer") for name in key.threads)
    signer.close()


async def test_signer_held_up_once_goes_on_signing_on_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    key = SlowKey(0)
    clock = StoppedClock(key, monkeypatch)
    signer = await warm(key)
    for _ in range(20):
        await signer.sign(TYPE, b"x")
    for held_up in (0.05, 0.0):
        clock.each_takes = held_up
        key.threads.clear()
        await signer.sign(TYPE, b"x")
        assert key.threads == {threading.main_thread().name}


async def test_signer_that_became_slow_leaves_the_loop() -> None:
    key = SlowKey(0)
    signer = await warm(key)
    key.seconds = 0.005
    for _ in range(20):
        key.threads.clear()
        await signer.sign(TYPE, b"x")
    assert all(name.startswith("govbus-signer") for name in key.threads)
    signer.close()


async def test_headers_in_company_wait_for_more_but_not_for_long() -> None:
    sizes: list[int] = []
    signer = BatchSigner(PrivateKey.generate(), on_batch=sizes.append)
    waited: list[float] = []

    async def later(i: int) -> None:
        await asyncio.sleep(0.0005 * i)
        began = time.perf_counter()
        await signer.sign(TYPE, b"%d" % i)
        waited.append(time.perf_counter() - began)

    await asyncio.gather(*(later(i) for i in range(200)))
    assert sum(sizes[-10:]) / 10 > 3
    assert sorted(waited)[100] < 0.008


async def test_signer_that_fails_fails_for_everybody_who_asked_and_not_for_ever() -> None:
    broken = BrokenKey(0)
    signer = BatchSigner(broken)
    found = await asyncio.gather(*(signer.sign(TYPE, b"x") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [OSError] * 3
    signer._signer = broken.key
    assert await signer.sign(TYPE, b"again")


async def test_one_who_gives_up_does_not_disturb_the_others() -> None:
    signer = await warm(PrivateKey.generate())
    gone, stays = asyncio.ensure_future(signer.sign(TYPE, b"a")), asyncio.ensure_future(signer.sign(TYPE, b"b"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_load_makes_batches_by_itself() -> None:
    signer = await warm(PrivateKey.generate())

    async def caller() -> None:
        for _ in range(50):
            await signer.sign(TYPE, b"x")
            await asyncio.sleep(0)

    await asyncio.gather(*(caller() for _ in range(20)))
    assert signer.mean_batch_size > 5
