"""Calls that go on while something breaks: a few threads, each call once under a key of its own, nothing forgotten."""

import itertools
import secrets
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Any, Self

from bus.exchange import CallError, CallEvidence, connect_blocking  # isort: skip - before gRPC

from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.exchange.config import ClientConfig
from tests.integration.world import CODE_LIST, ask
from tests.support.live import PURPOSE, Provider, wait_until

__all__ = ["Load"]

_PAUSE_S = 0.01


class Load:
    """Between `with` and its end `workers` threads call without end; a call waits `timeout` seconds for its answer."""

    def __init__(self, config: ClientConfig, *, workers: int = 4, timeout: float = 60.0) -> None:
        self._timeout = timeout
        self._channel = connect_blocking(config)
        # Letters: digits by chance would look like somebody's national number, and no call of this load would be sent.
        self._name = "".join(secrets.choice("abcdefghijklmnop") for _ in range(8))
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, name="load") for _ in range(workers)]
        self.answered: list[str] = []
        self.failed: list[tuple[float, CallError]] = []
        self.evidence: list[CallEvidence] = []
        self.slowest_s = 0.0
        self._crashed: list[BaseException] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._channel.close()

    def stop(self) -> None:
        """Start no further call, and wait for those that run."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self._crashed, self._crashed

    def call(self, key: str, timeout: float | None = None) -> Any:
        """One call."""
        view = self._channel.using(
            purpose=PURPOSE, case_id="case-a1", idempotency_key=key, on_evidence=self.evidence.append
        )
        stub: Any = rpc.AdministrativeUnitServiceStub(view)
        return stub.GetUnit(ask(), timeout=timeout or self._timeout)

    def stream(self, within: str = "", timeout: float = 60.0) -> Any:
        """The messages of a stream, as they come: `within` times three, or without end."""
        stub: Any = rpc.AdministrativeUnitServiceStub(self._channel.using(purpose=PURPOSE, case_id="case-a1"))
        return stub.ListUnits(pb.ListUnitsRequest(code_list_version=CODE_LIST, within_code=within), timeout=timeout)

    def goes_on(self, calls: int = 20) -> None:
        """Wait until so many calls more were answered."""
        before = len(self.answered)
        wait_until(lambda: len(self.answered) >= before + calls)

    def reasons(self) -> Counter[str]:
        """Why calls failed."""
        return Counter(str(error.reason) for _, error in self.failed)

    def said(self) -> str:
        """For people."""
        return f"{len(self.answered)} calls answered, failed {dict(self.reasons())}, slowest {self.slowest_s:.1f} s"

    def judge_effects(self, provider: Provider) -> None:
        """What was answered was done, and nothing was done twice."""
        done = provider.done()
        assert [key for key, times in done.items() if times > 1] == []
        assert set(self.answered) <= set(done)

    def _work(self) -> None:
        while not self._stop.is_set():
            key, began = f"{self._name}.{next(self._numbers)}", time.monotonic()
            try:
                self.call(key)
            except CallError as error:
                self.failed.append((time.monotonic() - began, error))
            except BaseException as error:
                self._crashed.append(error)
                raise
            else:
                self.answered.append(key)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self._stop.wait(_PAUSE_S)
