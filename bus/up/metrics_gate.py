"""What one broker's Envoy counts, out of its own statistics: the gate's figures and the few of Envoy's that matter.

Envoy is asked once for all of them (its text for Prometheus, over the admin socket). Each figure has one row here: what
it is called there, what here, which labels stay, and by what its value is multiplied (Envoy's times are milliseconds).
Envoy's other thousand statistics stay where they are: /stats on the admin socket.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bus.exchange.metrics import Buckets, Kind, Measure, Points

__all__ = ["FILTER", "GATE_MEASURES", "gate_points"]

BROKER: Final = "govbus.broker"
_S: Final = 0.001
_US: Final = 1e-6


@dataclass(frozen=True, slots=True)
class _Row:
    theirs: str
    measure: Measure
    labels: tuple[str, ...] = ()
    """Theirs, in the order of the measure's attributes behind the broker."""
    scale: float = 1.0


def _row(theirs: str, kind: Kind, name: str, unit: str, description: str, scale: float = 1.0, **labels: str) -> _Row:
    measure = Measure(f"govbus.gate.{name}", kind, unit, description, (BROKER, *labels.values()))
    return _Row(theirs, measure, tuple(labels), scale)


_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM
_ROWS: Final = (
    _row("govbus_calls", _C, "calls", "{call}", "Admitted calls by how they ended", outcome="govbus.outcome"),
    _row("govbus_refusals", _C, "refusals", "{call}", "Refused calls by reason", reason="govbus.reason"),
    _row("govbus_refusals_unrecorded", _C, "refusals.unrecorded", "{call}", "Refusals that no journal entry tells of"),
    _row(
        "http_downstream_rq_time",
        _H,
        "duration",
        "s",
        "Calls from first to last byte; what the gate refuses at once is not timed",
        _S,
    ),
    _row(
        "cluster_upstream_rq_time",
        _H,
        "provider.duration",
        "s",
        "What a provider took, from the request's last byte to the answer's",
        _S,
        envoy_cluster_name="govbus.provider",
    ),
    _row("govbusboot_signatures_verified", _C, "signatures.verified", "{signature}", "One for a batch of headers"),
    _row(
        "govbusboot_signatures_remembered",
        _C,
        "signatures.remembered",
        "{signature}",
        "Headers of a batch known already",
    ),
    _row("govbusboot_journal_groups", _C, "journal.groups", "{group}", "Signed, written and synced as one"),
    _row("govbusboot_journal_leaves", _C, "journal.leaves", "{record}", "Intents and outcomes under those signatures"),
    _row("govbusboot_journal_records", _C, "journal.records", "{record}", "Records, refusals and commits too"),
    _row("govbusboot_journal_bytes", _C, "journal.written", "By", "Bytes of these records"),
    _row("govbusboot_journal_refused_full", _C, "journal.refused", "{record}", "Refused for want of room on the disk"),
    _row("govbusboot_journal_sync_us", _C, "journal.sync", "s", "Waiting for the disk to have it", _US),
    _row("govbusboot_journal_cpu_us", _C, "journal.cpu", "s", "Processor time of the journal's threads", _US),
    _row("govbusboot_journal_queued", _G, "journal.queued", "{record}", "Records that wait for the next group"),
    _row("govbusboot_journal_open_intents", _G, "journal.open", "{call}", "Calls whose outcome is to come"),
    _row("govbusboot_journal_room_bytes", _G, "journal.room", "By", "Reserved on the disk for calls to come"),
    _row("govbusboot_journal_commit_us", _G, "journal.commit", "s", "Write and sync of the last group", _US),
    _row("govbusboot_journal_broken", _G, "journal.broken", "{journal}", "1: no call is admitted until a restart"),
    _row("http_downstream_cx_active", _G, "connections", "{connection}", "Open connections of clients"),
    _row("http_downstream_rq_active", _G, "calls.active", "{call}", "Calls that are under way"),
    _row("listener_ssl_handshake", _C, "handshakes", "{connection}", "Connections whose certificate was accepted"),
    _row("listener_ssl_connection_error", _C, "handshakes.failed", "{connection}", "Handshakes that came to nothing"),
    _row("server_memory_allocated", _G, "memory", "By", "Memory that Envoy and the gate hold"),
)
GATE_MEASURES: Final = tuple(row.measure for row in _ROWS)
FILTER: Final = (
    r"^(govbus|http\.edge\.downstream_(rq_time|cx_active|rq_active)$|cluster\.[^.]+\.upstream_rq_time$"
    r"|listener\..*\.ssl\.(handshake|connection_error)$|server\.memory_allocated$)"
)

_LINE: Final = re.compile(r"^(?:envoy_)?(\w+?)(_bucket|_sum|_count)?\{([^}\n]*)\} (\S+)$", re.MULTILINE)
_LABEL: Final = re.compile(r'\b(\w++)="([^"]*)"')
_BY_NAME: Final = {row.theirs: row for row in _ROWS}


@dataclass(slots=True)
class _Histogram:
    below: list[tuple[float, int]]
    total: float = 0.0


def gate_points(broker: str, text: str, since_ms: int) -> list[Points]:
    """All figures that Envoy's answer has, for the broker of that path."""
    numbers: dict[str, dict[tuple[str, ...], float | Buckets]] = defaultdict(dict)
    histograms: dict[tuple[str, tuple[str, ...]], _Histogram] = defaultdict(lambda: _Histogram([]))
    for name, part, labels, value in _samples(text):
        row = _BY_NAME.get(name)
        if row is None:
            continue
        key = (broker, *(labels.get(one, "") for one in row.labels))
        if row.measure.kind is not Kind.HISTOGRAM:
            numbers[name][key] = numbers[name].get(key, 0.0) + value * row.scale  # type: ignore[operator]
        elif part == "_bucket":
            histograms[name, key].below.append((float(labels["le"]), int(value)))
        elif part == "_sum":
            histograms[name, key].total = value
    for (name, key), found in histograms.items():
        numbers[name][key] = _buckets(found, _BY_NAME[name].scale)
    return [Points(row.measure, numbers[row.theirs], since_ms) for row in _ROWS if row.theirs in numbers]


def _samples(text: str) -> Iterator[tuple[str, str, dict[str, str], float]]:
    for name, part, labels, value in _LINE.findall(text):
        yield name, part, dict(_LABEL.findall(labels)), float(value)


def _buckets(found: _Histogram, scale: float) -> Buckets:
    ordered = sorted(found.below)
    counts = [count - before for (_, count), before in zip(ordered, [0, *(n for _, n in ordered)], strict=False)]
    return Buckets(tuple(bound * scale for bound, _ in ordered[:-1]), tuple(counts), found.total * scale)
