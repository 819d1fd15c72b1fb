"""One instance of some size that runs: PostgreSQL, registry, publisher, broker, provider; and what is measured on it.

Everything is the product's own and in one process, as in `govbus up`, except that the broker's Envoy, PostgreSQL and
the load tools are children. Clocks: what happens in this process by the monotonic one, files by their time of change.
"""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.build import Tools
from benchmarks.measure import Bench, Variant
from benchmarks.planes import Govbus
from benchmarks.policy_world import ACT, Scale, found_country, grant
from benchmarks.tools import LoadPlan, LoadRun, Provider, make_corpus
from benchmarks.world import World, make_world
from bus.edge.envoy_config import GATE
from bus.edge.publisher import Publication, Publisher
from bus.edge.snapshot_files import BROKER_SNAPSHOT
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import Database
from bus.registry.policy import policy_document
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from native._fast import PolicyView
from native.policy import Policy, build_tables
from pki.signer import FileSigner
from tests.support.registered import now_ms

__all__ = ["Stage", "open_stage"]

_SETTLE_SECONDS = 0.5
_WAIT_SECONDS = 60.0
_LOOKUPS = 10_000
_CALL_SECONDS = 2.0
_FIRST_GUESS = 10_000.0


@dataclass(slots=True)
class Stage:
    """Made by open_stage. The methods are called in the order in which they stand."""

    tools: Tools
    world: World
    scale: Scale
    database: Database
    registry: Registry
    provider: Provider
    stack: ExitStack
    plane: Govbus | None = None
    _publications: list[tuple[Publication, float]] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)
    _random: random.Random = field(default_factory=lambda: random.Random(7))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(500_000))

    @property
    def events(self) -> int:
        """Length of the log."""
        return self.registry.state().position

    def start(self) -> dict[str, object]:
        """A registry that opens on this log, as a process that starts does: without a checkpoint, and with one."""
        found: dict[str, object] = {}
        checkpoint = self.world.instance.state / "registry-checkpoint"
        with EventStore(self.database) as store:
            whole = Registry(store, now_ms, checkpoint)
            found["log_seconds"], found["log_cpu_seconds"] = _timed(whole.state)
            found["checkpoint_seconds"], found["checkpoint_cpu_seconds"] = _timed(whole.store_checkpoint)
            fresh = Registry(store, now_ms, checkpoint)
            found["open_seconds"], found["open_cpu_seconds"] = _timed(fresh.state)
        found["checkpoint_bytes"] = checkpoint.stat().st_size
        return found

    def compile(self) -> dict[str, object]:
        """The gate's tables alone, then everything that a publisher makes at its start."""
        state, now = self.registry.state(), now_ms()
        found: dict[str, object] = {}
        found["tables_seconds"], found["tables_cpu_seconds"] = _timed(
            lambda: build_tables(policy_document(state, now).tables)
        )
        signer = FileSigner.load(self.world.instance.state / "policy-signing-key.pem")
        publisher = Publisher(self.world.instance.state, self.registry, signer, now_ms, self._published)
        self.stack.callback(publisher.stop)
        found["publish_seconds"], found["publish_cpu_seconds"] = _timed(publisher.start)
        files = list((self.world.instance.state / "snapshots").glob("*.snapshot"))
        found["broker_snapshot_bytes"] = (self.world.instance.state / "snapshots" / BROKER_SNAPSHOT).stat().st_size
        found["all_snapshot_bytes"] = sum(path.stat().st_size for path in files)
        found["snapshots"] = len(files)
        return found

    def changes(self, count: int) -> dict[str, object]:
        """A new grant, several times: from its commit to the signed file, and to what Envoy is told."""
        self.plane = self.stack.enter_context(Govbus(self.world))
        time.sleep(2 * _SETTLE_SECONDS)
        found: dict[str, object] = {"gate_rss_mib": self._rss(), "gate_rss_anon_mib": self._rss("RssAnon")}
        cpu = time.process_time()
        delays = [self._change() for _ in range(count)]
        found["change_cpu_ms"] = round((time.process_time() - cpu) / count * 1e3, 1)
        for number, name in enumerate(("record_ms", "file_ms", "handed_ms")):
            found[name] = [round(one[number], 1) for one in delays]
        return found

    def lookup_ns(self) -> float:
        """Check 8 for grants all over the table, without Python in between."""
        tables = build_tables(policy_document(self.registry.state(), now_ms()).tables)
        policy, view, state = Policy(tables), PolicyView(tables), self.registry.state()
        several = self._random.choices([one.grant for one in state.grants.values()], k=_LOOKUPS)
        questions = [
            (
                one.grant_id.encode(),
                policy.find_subsystem(one.client) or 0,
                policy.find_subsystem(one.provider) or 0,
                policy.find_method(one.methods[0]) or 0,
                one.purposes[0].encode(),
            )
            for one in several
        ]
        return float(view.time_permits(questions, 20)[0])

    def swaps(self, count: int, rate: int) -> dict[str, object]:
        """A trickle of calls, quiet and then with a change a second: its latency, and the gate's memory."""
        assert self.plane is not None
        quiet = self._load(rate, count, lambda: None)
        versions = len(self._publications)
        swapped = self._load(rate, count, self._change)
        time.sleep(_SETTLE_SECONDS)
        return {
            "quiet": quiet,
            "swapped": swapped,
            "swaps": len(self._publications) - versions,
            "gate_rss_after_mib": self._rss(),
            "gate_rss_peak_mib": self._rss("VmHWM"),
        }

    def call_cpu_us(self) -> float:
        """CPU of the gate's process for one whole call at full load."""
        assert self.plane is not None
        bench = Bench(self.tools, self.world, self.provider, 8, 32, 256)
        variant = Variant("govbus", "govbus", self.plane, 64, 1024)
        return bench.slice(variant, seconds=_CALL_SECONDS, expected_rate=_FIRST_GUESS).cpu_us

    def _load(self, rate: int, seconds: int, each_second: Callable[[], object]) -> dict[str, Any]:
        assert self.plane is not None
        corpus = self.world.instance.state / "corpus"
        make_corpus(self.tools, self.world, corpus, count=rate * (seconds + 1), batch=64, body=256)
        self.provider.set_batch(1024)
        plan = LoadPlan(
            self.plane.listen, self.world.broker.dns_name, corpus, seconds, 4, 32, rate=rate, expect_receipt=True
        )
        found: dict[str, Any] = {}
        with LoadRun(self.tools, self.world, plan) as run:
            thread = threading.Thread(target=lambda: found.update(run.go()))
            thread.start()
            began = time.monotonic()
            for number in range(seconds):
                time.sleep(max(0.0, began + number + _SETTLE_SECONDS - time.monotonic()))
                if thread.is_alive():
                    each_second()
            thread.join()
        faults = ("lost", "altered", "unsigned", "without_receipt")
        return {"calls": found["calls"], "latency_ms": found["latency_ms"], "refusals": found["refusals"]} | {
            "faults": {name: found[name] for name in faults}
        }

    def _change(self) -> tuple[float, float, float]:
        """Milliseconds: to record it, from there to the signed file, from there on to what Envoy watches."""
        assert self.plane is not None
        made = grant(next(self._numbers), self.scale, self._random, now_ms())
        began = time.monotonic()
        (event,) = self.registry.record([made], ACT)
        recorded, recorded_wall = time.monotonic(), time.time()
        version, written = self._await_publication(event.position)
        handed = self._await_envoy(version)
        return (recorded - began) * 1e3, (written - recorded) * 1e3, (handed - recorded_wall) * 1e3

    def _published(self, done: Publication) -> None:
        with self._news:
            self._publications.append((done, time.monotonic()))
            self._news.notify_all()

    def _await_publication(self, position: int) -> tuple[int, float]:
        def there() -> bool:
            return bool(self._publications) and self._publications[-1][0].log_position >= position

        with self._news:
            if not self._news.wait_for(there, _WAIT_SECONDS):
                raise TimeoutError("nothing is published; look at what the publisher says")
            return self._publications[-1][0].version, self._publications[-1][1]

    def _await_envoy(self, version: int) -> float:
        """When the file appeared that names this version to Envoy, in seconds since the epoch."""
        path, end = self.world.broker_home / "envoy" / GATE, time.monotonic() + _WAIT_SECONDS
        while f"version={version}\\n" not in path.read_text():
            if time.monotonic() > end:
                raise TimeoutError("the broker does not follow its policy; look at what it says")
            time.sleep(0.002)
        return path.stat().st_mtime

    def _rss(self, name: str = "VmRSS") -> float:
        assert self.plane is not None
        lines = Path(f"/proc/{self.plane.pid}/status").read_text().splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name}:"))
        return round(int(line.split()[1]) / 1024, 1)


@contextmanager
def open_stage(tools: Tools, state: Path, scale: Scale, say: Callable[[str], None]) -> Iterator[Stage]:
    """The instance with its log, not published yet; ended and removed afterwards."""
    with ExitStack() as stack:
        world = make_world(state, now=datetime.now(UTC))
        server = stack.enter_context(Postgres(state))
        database = server.database("registry")
        say(f"recording {scale.grants} grants and {scale.subsystems} subsystems")
        registry, store = found_country(world, database, scale)
        stack.callback(store.close)
        provider = stack.enter_context(Provider(tools, world))
        yield Stage(tools, world, scale, database, registry, provider, stack)


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """(seconds, CPU seconds of this process)."""
    began, cpu = time.monotonic(), time.process_time()
    work()
    return round(time.monotonic() - began, 3), round(time.process_time() - cpu, 3)
