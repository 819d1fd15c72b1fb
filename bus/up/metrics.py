"""What a running instance measures of itself, for OTLP and for Prometheus: parts, policy, ledger, keys, each gate.

Asked for at every collection and made from what the supervisor, the ledger's process and Envoy say at that moment; a
part that does not answer has no figures, and `govbus.part.up` says so. docs/metrics.md tells what to alarm on.
"""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from bus.engines.supervisor import EngineError
from bus.exchange.metrics import Buckets, Kind, Measure, Points, to_metrics
from bus.up.broker import certificate_ends
from bus.up.control import ask
from bus.up.journals import journal_use
from bus.up.layout import Layout
from bus.up.ledger_lag import LedgerLag
from bus.up.metrics_gate import BROKER, FILTER, GATE_MEASURES, gate_points

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric

    from bus.up.running import Running

__all__ = ["MEASURES", "InstanceMetrics"]

_G, _C = Kind.GAUGE, Kind.COUNTER
_PART: Final = ("govbus.part",)
PART_UP: Final = Measure("govbus.part.up", _G, "{part}", "1 while it does its work", _PART)
PART_STARTS: Final = Measure("govbus.part.starts", _C, "{start}", "Times that its process was started", _PART)
POLICY_VERSION: Final = Measure("govbus.policy.version", _G, "{version}", "Of the policy published last")
POLICY_DELAY: Final = Measure("govbus.policy.delay", _G, "s", "From the last change to its publication")
POLICY_AGE: Final = Measure("govbus.gate.policy.age", _G, "s", "Of the policy that it judges by", (BROKER,))
IN_FORCE: Final = Measure("govbus.gate.policy.version", _G, "{version}", "Of the policy that it was given", (BROKER,))
LEDGER_ENTRIES: Final = Measure("govbus.ledger.entries", _G, "{entry}", "In the tree of the last checkpoint")
LEDGER_BEHIND: Final = Measure("govbus.ledger.behind", _G, "{entry}", "In journals, and not in the ledger yet")
LEDGER_BYTES: Final = Measure("govbus.ledger.behind.size", _G, "By", "Of journals, and not in the ledger yet")
LEDGER_LAG: Final = Measure("govbus.ledger.lag", _G, "s", "Since all sources were read to their ends")
CHECKPOINT_AGE: Final = Measure("govbus.ledger.checkpoint.age", _G, "s", "Of the last signed checkpoint")
SOURCE_FAILED: Final = Measure(
    "govbus.ledger.source.failed", _G, "{source}", "1 while it cannot be read", ("govbus.source",)
)
JOURNAL_SIZE: Final = Measure("govbus.journal.size", _G, "By", "Segments on the disk", (BROKER,))
JOURNAL_FREE: Final = Measure("govbus.journal.free", _G, "By", "Free on the journal's disk", (BROKER,))
KEY_END: Final = Measure(
    "govbus.key.end", _G, "s", "When it ends, seconds since 1970", ("govbus.subsystem", "govbus.key")
)

MEASURES: Final = (
    *(PART_UP, PART_STARTS, POLICY_VERSION, POLICY_DELAY, POLICY_AGE, IN_FORCE, LEDGER_ENTRIES, LEDGER_BEHIND),
    *(LEDGER_BYTES, LEDGER_LAG, CHECKPOINT_AGE, SOURCE_FAILED, JOURNAL_SIZE, JOURNAL_FREE, KEY_END, *GATE_MEASURES),
)


class InstanceMetrics:
    """Nothing is known before `follow`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._running: Running | None = None
        self._asking = threading.Lock()
        self._lag: LedgerLag | None = None

    def follow(self, running: "Running | None") -> None:
        """Measure this instance; None at its end."""
        self._running = running

    def collect(self) -> "list[Metric]":
        """All of it, now; whatever does not answer is left out."""
        running = self._running
        if running is None:
            return []
        with self._asking:
            told, ledger = running.tell(), ask(self._layout.ledger_writer)
            points = [*_parts(told, ledger), *_policy(told), *_ledger(ledger, self._layout), *self._keys(told)]
            points += [*self._brokers(running, told), *self._journals(running)]
        return to_metrics(_joined(points))

    def _brokers(self, running: "Running", told: dict[str, Any]) -> Iterator[Points]:
        for part in running.brokers:
            found = told["brokers"].get(part.path) or {}
            home = self._layout.broker_home(part.path)
            yield Points(IN_FORCE, {(part.path,): found.get("in_force", 0)})
            yield Points(JOURNAL_SIZE, {(part.path,): journal_use(home / "journal").bytes})
            yield Points(JOURNAL_FREE, {(part.path,): shutil.disk_usage(home).free})
            if part.broker is None:
                continue
            created_ms = part.broker.snapshot_created_ms
            yield Points(POLICY_AGE, {(part.path,): max(0.0, time.time() - _seconds(created_ms))})
            with contextlib.suppress(OSError, EngineError, ValueError, LookupError, OverflowError):
                text = part.broker.envoy.admin.exposition(FILTER)
                yield from gate_points(part.path, text, found.get("since_ms") or 0)

    def _journals(self, running: "Running") -> Iterator[Points]:
        self._lag = self._lag or LedgerLag(self._layout, running.facts)
        behind = self._lag.bytes_behind(part.path for part in running.brokers)
        if behind is not None:
            yield Points(LEDGER_BYTES, {(): behind})

    def _keys(self, told: dict[str, Any]) -> Iterator[Points]:
        ends: dict[tuple[str, ...], float | Buckets] = {
            (path, "signing"): _seconds(ms) for path, ms in (told.get("key_ends_ms") or {}).items() if ms
        }
        for path, found in told["brokers"].items():
            if ms := found.get("key_ends_ms"):
                ends[path, "signing"] = _seconds(ms)
            with contextlib.suppress(OSError, ValueError):
                ends[path, "tls"] = certificate_ends(self._layout.broker_home(path)).timestamp()
        yield Points(KEY_END, ends)


def _parts(told: dict[str, Any], ledger: dict[str, Any] | None) -> Iterator[Points]:
    children = {name: told.get(name) or {} for name in ("postgres", "ledger")}
    children |= {f"broker {path}": found for path, found in told["brokers"].items()}
    up = {(name,): bool(found.get("ready")) for name, found in children.items()}
    up["ledger",] = ledger is not None and not ledger["halted"] and "size" in ledger
    up["registry",] = up["publisher",] = told.get("publisher") is not None and told.get("waiting") is None
    up["enrolment",] = told.get("enrolment") is not None
    nation = told.get("nation") or {}
    if nation:
        members = {f"member {path}": found for path, found in nation["members"].items()}
        children |= members | {"nation postgres": nation.get("postgres") or {}}
        up |= {(name,): bool(found.get("serves")) for name, found in members.items()}
        up["nation postgres",] = bool(children["nation postgres"].get("pid"))
    if told.get("postgres") is None:
        del up["postgres",]  # somebody else's; the registry says whether it answers
    yield Points(PART_UP, {name: int(found) for name, found in up.items()})
    yield Points(PART_STARTS, {(name,): found.get("starts", 0) for name, found in children.items() if found})


def _policy(told: dict[str, Any]) -> Iterator[Points]:
    last = told.get("publisher")
    if last is None:
        return
    yield Points(POLICY_VERSION, {(): last["version"]})
    yield Points(POLICY_DELAY, {(): _seconds(last["delay_ms"])})


def _ledger(told: dict[str, Any] | None, layout: Layout) -> Iterator[Points]:
    if told is None or "size" not in told:
        return
    yield Points(LEDGER_ENTRIES, {(): told["size"]})
    yield Points(LEDGER_BEHIND, {(): told["behind"]})
    if told["lag_ms"] is not None:
        yield Points(LEDGER_LAG, {(): _seconds(told["lag_ms"])})
    yield Points(SOURCE_FAILED, {(name,): int(bool(one["error"])) for name, one in told["sources"].items()})
    with contextlib.suppress(FileNotFoundError):
        written = (layout.ledger / "checkpoint").stat().st_mtime
        yield Points(CHECKPOINT_AGE, {(): max(0.0, time.time() - written)})


def _joined(points: Iterable[Points]) -> Iterator[Points]:
    """The points of several brokers under their one measure."""
    by_measure: dict[Measure, Points] = {}
    for one in points:
        found = by_measure.get(one.measure)
        values = one.values if found is None else {**found.values, **one.values}
        by_measure[one.measure] = Points(one.measure, values, one.since_ms)
    yield from by_measure.values()


def _seconds(milliseconds: int) -> float:
    return milliseconds / 1000
