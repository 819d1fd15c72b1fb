"""OpenTelemetry's metrics as Prometheus reads them: the text format 0.0.4.

Names follow OpenTelemetry's rules for Prometheus: dots become underscores, the unit is written out at the end, a
counter ends in `_total`. Instrumentation scopes are left out; the resource stands in `target_info`. Two attributes or
two metrics of different types that fall on one name are a fault of ours and raise: Prometheus would refuse all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric, MetricsData

__all__ = ["CONTENT_TYPE", "prometheus_name", "to_text"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "By": "bytes"}
_WRONG: Final = re.compile(r"[^a-zA-Z0-9_]")


@dataclass(slots=True)
class _Family:
    kind: str
    description: str
    lines: list[str] = field(default_factory=list)


def to_text(data: MetricsData | None, further: Iterable[Metric] = ()) -> str:
    """What a process collected, and what was measured beside that."""
    families: dict[str, _Family] = {}
    for resource in data.resource_metrics if data else ():
        info = families.setdefault("target_info", _Family("gauge", "What this process says of itself"))
        told = {name: value for name, value in resource.resource.attributes.items() if name.startswith("service.")}
        info.lines = [f"target_info{_labels(told)} 1"]
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                _add(families, metric)
    for metric in further:
        _add(families, metric)
    lines = (line for name, family in sorted(families.items()) for line in _family_lines(name, family))
    return "".join(f"{line}\n" for line in lines)


def prometheus_name(name: str, kind: str, unit: str) -> str:
    """A metric's name as it stands in front of its labels; a histogram's without _bucket, _sum and _count."""
    found = _WRONG.sub("_", name)
    if suffix := _UNITS.get(unit):
        found += f"_{suffix}"
    return f"{found}_total" if kind == "counter" else found


def _family_lines(name: str, family: _Family) -> Iterator[str]:
    yield f"# HELP {name} {_escape(family.description)}"
    yield f"# TYPE {name} {family.kind}"
    yield from family.lines


def _add(families: dict[str, _Family], metric: Metric) -> None:
    data: Any = metric.data
    kind = "histogram" if hasattr(data.data_points[0], "bucket_counts") else "gauge"
    if getattr(data, "is_monotonic", False):
        kind = "counter"
    name = prometheus_name(metric.name, kind, metric.unit or "")
    family = families.setdefault(name, _Family(kind, metric.description or ""))
    if family.kind != kind:
        raise ValueError(f"two metrics are called {name}")
    for point in data.data_points:
        family.lines += _histogram(name, point) if kind == "histogram" else [_sample(name, point)]


def _sample(name: str, point: Any) -> str:
    return f"{name}{_labels(point.attributes)} {_number(point.value)}"


def _histogram(name: str, point: Any) -> Iterator[str]:
    below = 0
    bounds = [*map(_number, point.explicit_bounds), "+Inf"]
    for bound, count in zip(bounds, point.bucket_counts, strict=True):
        below += count
        yield f"{name}_bucket{_labels(point.attributes, bound)} {below}"
    yield f"{name}_sum{_labels(point.attributes)} {_number(point.sum)}"
    yield f"{name}_count{_labels(point.attributes)} {point.count}"


def _labels(attributes: Mapping[str, Any] | None, bound: str | None = None) -> str:
    found = {_WRONG.sub("_", name): str(value) for name, value in sorted((attributes or {}).items())}
    if len(found) != len(attributes or {}):
        raise ValueError(f"two attributes fall on one label: {sorted(attributes or {})}")
    if bound is not None:
        found["le"] = bound
    return (
        "{" + ",".join(f'{name}="{_escape(value, quote=True)}"' for name, value in found.items()) + "}" if found else ""
    )


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _escape(text: str, *, quote: bool = False) -> str:
    found = text.replace("\\", r"\\").replace("\n", r"\n")
    return found.replace('"', r"\"") if quote else found
