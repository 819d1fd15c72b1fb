"""One slice: a corpus, a run of the load client against one data plane, and the CPU that plane used meanwhile."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.build import Tools
from benchmarks.machine import cpu_time
from benchmarks.planes import Plane
from benchmarks.tools import LoadPlan, LoadRun, Provider, make_corpus, reason_of
from benchmarks.world import World

__all__ = ["Bench", "Slice", "Variant"]

# A corpus on disk would have its pages written back while the gate waits for its own fdatasync.
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 (a directory of our own is made in it)
_MOST_REQUESTS = 400_000
_HEADROOM = 1.4


@dataclass(frozen=True, slots=True)
class Variant:
    """What is compared: a data plane under one way of signing."""

    name: str
    title: str
    plane: Plane
    client_batch: int
    provider_batch: int


@dataclass(frozen=True, slots=True)
class Slice:
    """One run. Times in the names' units, CPU per call of the data plane's process."""

    variant: str
    calls: int
    seconds: float
    cpu_user_us: float
    cpu_system_us: float
    client_cpu_us: float
    provider_cpu_us: float
    provider_batch: float
    commit_batch: float | None
    latency_ms: dict[str, float]
    refused: dict[str, int]
    faults: dict[str, int]

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a call."""
        return self.cpu_user_us + self.cpu_system_us

    @property
    def calls_per_second(self) -> float:
        """Answered calls over the time to the last answer."""
        return self.calls / self.seconds

    @property
    def clean(self) -> bool:
        """Every call was answered, whole, signed and, where one is due, with a receipt."""
        return not self.refused and not any(self.faults.values())


@dataclass(slots=True)
class Bench:
    """What every slice shares."""

    tools: Tools
    world: World
    provider: Provider
    connections: int
    streams: int
    body: int

    def slice(self, variant: Variant, *, seconds: float, expected_rate: float, rate: int = 0) -> Slice:
        """Run one slice; `expected_rate` sizes the corpus."""
        count = round((rate or expected_rate * _HEADROOM) * seconds) + 2 * self.connections * self.streams
        with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None) as memory:
            corpus = Path(memory) / "corpus"
            size = min(count, _MOST_REQUESTS)
            make_corpus(self.tools, self.world, corpus, count=size, batch=variant.client_batch, body=self.body)
            self.provider.set_batch(variant.provider_batch)
            plan = LoadPlan(
                connect=variant.plane.listen,
                server_name=self.world.broker.dns_name,
                corpus=corpus,
                seconds=seconds,
                connections=self.connections,
                streams=self.streams,
                rate=rate,
                headers=variant.plane.headers,
                expect_receipt=variant.plane.gives_receipts,
            )
            return self._run(variant, plan)

    def _run(self, variant: Variant, plan: LoadPlan) -> Slice:
        plane = variant.plane
        with LoadRun(self.tools, self.world, plan) as run:
            before = self.provider.counters()
            commits = plane.commits()
            used = cpu_time(plane.pid)
            found = run.go()
            used = cpu_time(plane.pid) - used
        after = self.provider.counters()
        calls = max(found["calls"], 1)
        return Slice(
            variant=variant.name,
            calls=found["calls"],
            seconds=found["elapsed_seconds"],
            cpu_user_us=used.user / calls * 1e6,
            cpu_system_us=used.system / calls * 1e6,
            client_cpu_us=found["cpu_seconds"] / calls * 1e6,
            provider_cpu_us=(after["cpu_seconds"] - before["cpu_seconds"]) / calls * 1e6,
            provider_batch=after["calls"] / max(after["batches"], 1),
            commit_batch=_mean(commits, plane.commits()),
            latency_ms=found["latency_ms"],
            refused=_refusals(found),
            faults={name: found[name] for name in ("lost", "altered", "unsigned", "without_receipt")},
        )


def _mean(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    if before is None or after is None or after[1] == before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])


def _refusals(found: dict[str, Any]) -> dict[str, int]:
    refused: dict[str, int] = {}
    for refusal in found["refusals"]:
        reason = reason_of(refusal)
        refused[reason] = refused.get(reason, 0) + int(refusal["count"])
    return refused
