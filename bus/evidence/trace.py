"""A trace as Jaeger's query API tells it: its spans, who is below whom, a line for each.

Read, never believed: spans are unsigned and whoever sends one says what it likes. They tell where time went.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Span", "below_of", "label_of", "read_trace", "to_lines", "tree_of"]

_DEEPEST_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Span:
    """What is told of one; times in microseconds."""

    id: str
    parent: str
    service: str
    name: str
    start_us: int
    duration_us: int
    tags: Mapping[str, str]


def read_trace(trace: Mapping[str, Any]) -> list[Span]:
    """The spans of one trace of `/api/traces`."""
    services = {key: str(one["serviceName"]) for key, one in trace["processes"].items()}
    return [
        Span(
            one["spanID"],
            next((each["spanID"] for each in one.get("references") or () if each["refType"] == "CHILD_OF"), ""),
            services[one["processID"]],
            str(one["operationName"]),
            int(one["startTime"]),
            int(one["duration"]),
            {tag["key"]: str(tag["value"]) for tag in one["tags"]},
        )
        for one in trace["spans"]
    ]


def to_lines(spans: Sequence[Span]) -> list[str]:
    """A line each: depth, service, name, when and how long."""
    begin = min((span.start_us for span in spans), default=0)
    return [
        f"{'  ' * min(depth, _DEEPEST_SHOWN)}{span.service}: {label_of(span)}"
        f"  +{(span.start_us - begin) / 1000:.1f} ms, {span.duration_us / 1000:.1f} ms"
        for depth, span in tree_of(spans)
    ]


def label_of(span: Span) -> str:
    """Its method, kind and, where it was refused, why."""
    reason = span.tags.get("govbus.reason", "")
    return " ".join(filter(None, (span.name.rpartition("/")[2], span.tags.get("span.kind", ""), reason)))


def tree_of(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Each below its parent, earliest first; with its depth. Each once, whatever its sender says it is below of."""
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: one.start_us, reverse=True):
        below.setdefault(span.parent if span.parent in known else "", []).append(span)
    waiting = [(0, span) for span in below.pop("", ())]
    while waiting:
        depth, span = waiting.pop()
        yield depth, span
        waiting += [(depth + 1, each) for each in below.pop(span.id, ())]


def below_of(spans: Sequence[Span], tag: str, value: str) -> list[Span]:
    """The first span with that tag, and all below it; empty where none has it."""
    found: list[Span] = []
    top = -1
    for depth, span in tree_of(spans):
        if top < 0 and span.tags.get(tag) == value:
            top = depth
            found.append(span)
        elif top >= 0:
            if depth <= top:
                break
            found.append(span)
    return found
