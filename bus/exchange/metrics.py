"""Measurements that a process already has, as OpenTelemetry's data: declared once, sent by OTLP and scraped alike.

Instruments (bus.exchange.telemetry) count what happens. What is only looked at - a part's state, another process's
counters, a file's age - is no instrument: whoever knows it gives `Points` of a declared `Measure` when somebody
collects. A measure names all its attributes; a point with others is a fault of ours and raises.

Nothing personal and nothing unbounded is an attribute: methods, reasons, outcomes, parts, subsystems, and no others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Gauge, Histogram, HistogramDataPoint, Metric, Sum

__all__ = ["Buckets", "Kind", "Measure", "Points", "to_metrics"]


class Kind(StrEnum):
    """What its points are."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric: `unit` is UCUM's, as OpenTelemetry wants it (s, By, {call})."""

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram's state: `counts` has one more than `bounds`, for what is above the last; none is cumulative."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Points:
    """A measure's values by its attributes' values, in the order that the measure declares them."""

    measure: Measure
    values: Mapping[tuple[str, ...], float | Buckets]
    since_ms: int = 0
    """When the counting began; 0 where nobody knows."""


def to_metrics(points: Iterable[Points]) -> list[Metric]:
    """What OpenTelemetry's exporters take; measures without a value are left out."""
    from opentelemetry.sdk.metrics import export as sdk

    now = time.time_ns()
    return [
        sdk.Metric(one.measure.name, one.measure.description, one.measure.unit, _data(one, now))
        for one in points
        if one.values
    ]


def _data(points: Points, now: int) -> Sum | Gauge | Histogram:
    from opentelemetry.sdk.metrics import export as sdk

    cumulative = sdk.AggregationTemporality.CUMULATIVE
    start = points.since_ms * 1_000_000 or now
    if points.measure.kind is Kind.HISTOGRAM:
        return sdk.Histogram([_histogram_point(points, key, start, now) for key in points.values], cumulative)
    numbers = [
        sdk.NumberDataPoint(_attributes(points.measure, key), start, now, value)
        for key, value in points.values.items()
        if not isinstance(value, Buckets)
    ]
    return sdk.Sum(numbers, cumulative, True) if points.measure.kind is Kind.COUNTER else sdk.Gauge(numbers)


def _histogram_point(points: Points, key: Sequence[str], start: int, now: int) -> HistogramDataPoint:
    from opentelemetry.sdk.metrics import export as sdk

    found = points.values[tuple(key)]
    assert isinstance(found, Buckets)  # noqa: S101 (its measure says so)
    return sdk.HistogramDataPoint(
        attributes=_attributes(points.measure, key),
        start_time_unix_nano=start,
        time_unix_nano=now,
        count=sum(found.counts),
        sum=found.total,
        bucket_counts=found.counts,
        explicit_bounds=found.bounds,
        min=0.0,
        max=0.0,
    )


def _attributes(measure: Measure, key: Sequence[str]) -> dict[str, str]:
    return dict(zip(measure.attributes, key, strict=True))
