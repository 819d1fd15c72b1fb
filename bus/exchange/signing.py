"""Signs headers, many at once: one signature for everything asked for in the same turn of the event loop.

Rules:
1. A lone header is signed in the next turn of the loop: whoever comes after that much quiet (2) waits for nobody.
2. Under load batches begin at least 1 ms apart, and as many milliseconds as they lately had headers, up to 3; no header
   waits longer than that for its turn. One caller who waits for each answer never has company, and never waits for it.
   Each batch spares everybody who verifies: broker, provider and client check one signature for all of it.
3. A batch has at most 1,024 leaves (protocol.md 2); what is beyond goes into the next.
4. While a signer is busy in its thread, what arrives gathers for the next batch: a slow token costs latency once.
5. A signer that answers within 0.2 ms signs on the loop, since handing over to a thread costs as much; a slower one,
   and the first signature of any, is run in a thread of its own.

Whoever asked and was cancelled has still been signed for; nothing waits for them.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from native.batch import sign_batch

__all__ = ["BatchSigner", "HeaderSigner"]

MAX_BATCH: Final = 1024
MIN_INTERVAL_S: Final = 0.001
MAX_INTERVAL_S: Final = 0.003
SLOW_S: Final = 0.0002
# Weight of the newest batch in the running mean of their sizes.
_NEWEST: Final = 0.2
# How much slower a signer is believed to have become by one signature.
_SLOWER: Final = 1.2

_Item = tuple[str, bytes, asyncio.Future[bytes]]


class HeaderSigner(Protocol):
    """What pki.signer.Signer offers."""

    @property
    def key_id(self) -> bytes:
        """SHA-256(SPKI), 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes r || s, low s."""


class BatchSigner:
    """One signer's queue on one event loop."""

    def __init__(self, signer: HeaderSigner, *, on_batch: Callable[[int], None] | None = None) -> None:
        """`on_batch` is told the size of every batch signed."""
        self._signer = signer
        self._on_batch = on_batch
        self._waiting: list[_Item] = []
        self._timer: asyncio.Handle | None = None
        self._busy: asyncio.Task[None] | None = None
        self._began = 0.0
        self._company = 1.0
        self._duration: float | None = None
        self._thread: ThreadPoolExecutor | None = None
        self.signed = 0
        self.batches = 0

    @property
    def key_id(self) -> bytes:
        """The signer's key id."""
        return self._signer.key_id

    @property
    def mean_batch_size(self) -> float:
        """Headers per signature so far; 0 before the first."""
        return self.signed / self.batches if self.batches else 0.0

    def use(self, signer: HeaderSigner) -> None:
        """Sign by this one from the next batch on; safe from any thread."""
        self._signer = signer

    async def sign(self, type_: str, header: bytes) -> bytes:
        """The encoded Signature over `header` under `type_`; raises what the signer raised."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bytes] = loop.create_future()
        self._waiting.append((type_, header, future))
        if self._timer is None and self._busy is None:
            self._arm(loop)
        return await future

    def close(self) -> None:
        """Sign no more; whoever still waits is cancelled."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for _, _, future in self._waiting:
            future.cancel()
        self._waiting.clear()
        if self._thread:
            self._thread.shutdown(wait=False)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Choose when the next batch is signed (rules 1 and 2)."""
        rest = min(MIN_INTERVAL_S * self._company, MAX_INTERVAL_S) - (loop.time() - self._began)
        full = len(self._waiting) >= MAX_BATCH
        self._timer = loop.call_soon(self._flush) if full or rest <= 0 else loop.call_later(rest, self._flush)

    def _flush(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        batch, self._waiting = self._waiting[:MAX_BATCH], self._waiting[MAX_BATCH:]
        self._began = loop.time()
        self._company += _NEWEST * (len(batch) - self._company)
        if self._duration is None or self._duration > SLOW_S:
            self._busy = loop.create_task(self._sign_in_thread(batch))
            return
        try:
            signatures = self._sign_now(batch)
        except Exception as error:  # noqa: BLE001 - whatever the signer raises belongs to those who asked
            _fail(batch, error)
        else:
            self._deliver(batch, signatures)
        if self._waiting:
            self._arm(loop)

    async def _sign_in_thread(self, batch: list[_Item]) -> None:
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="govbus-signer")
        try:
            signatures = await loop.run_in_executor(self._thread, self._sign_now, batch)
        except asyncio.CancelledError:
            _fail(batch, asyncio.CancelledError())
            raise
        except Exception as error:  # noqa: BLE001 - as above
            _fail(batch, error)
        else:
            self._deliver(batch, signatures)
        finally:
            self._busy = None
        if self._waiting:
            self._arm(loop)

    def _sign_now(self, batch: list[_Item]) -> list[bytes]:
        began = time.perf_counter()
        signatures = sign_batch(self._signer, [(type_, header) for type_, header, _ in batch])
        took = time.perf_counter() - began
        # The tree over many leaves is ours and quick per leaf; only lone-batch time says how slow the signer is.
        took = max(took - 2e-6 * len(batch), SLOW_S / 4)
        # The quickest of late: a busy machine, or the loop holding the interpreter, makes any signer look slow.
        self._duration = took if self._duration is None else min(took, _SLOWER * self._duration)
        return signatures

    def _deliver(self, batch: list[_Item], signatures: list[bytes]) -> None:
        self.batches += 1
        self.signed += len(batch)
        if self._on_batch:
            self._on_batch(len(batch))
        for (_, _, future), signature in zip(batch, signatures, strict=True):
            if not future.done():
                future.set_result(signature)


def _fail(batch: list[_Item], error: BaseException) -> None:
    for _, _, future in batch:
        if not future.done():
            if isinstance(error, asyncio.CancelledError):
                future.cancel()
            else:
                future.set_exception(error)
