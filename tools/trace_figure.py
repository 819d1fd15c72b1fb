"""Draws a trace as Jaeger's API gives it: one line a span, below its parent, with where it lies in time.

    python -m tools.trace_figure http://127.0.0.1:16686 TRACE-ID > trace.svg

Text for a terminal, SVG for a page. Services have a colour each; a refused span is outlined, its reason beside it.
"""

import json
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

__all__ = ["Span", "read_trace", "to_lines", "to_svg"]

_ROW: Final = 20
_LEFT: Final = 430
_WIDTH: Final = 960
_COLOURS: Final = ("#4a6fa5", "#7a9e7e", "#b0763a", "#8a6fa8", "#5b9aa0", "#a85751", "#8b8b5a")


@dataclass(frozen=True, slots=True)
class Span:
    """What is drawn of one; times in microseconds."""

    id: str
    parent: str
    service: str
    name: str
    start_us: int
    duration_us: int
    tags: Mapping[str, str]


def read_trace(trace: Mapping[str, Any]) -> list[Span]:
    """The spans of one trace of `/api/traces`."""
    services = {key: one["serviceName"] for key, one in trace["processes"].items()}
    return [
        Span(
            one["spanID"],
            next((each["spanID"] for each in one.get("references") or () if each["refType"] == "CHILD_OF"), ""),
            services[one["processID"]],
            one["operationName"],
            one["startTime"],
            one["duration"],
            {tag["key"]: str(tag["value"]) for tag in one["tags"]},
        )
        for one in trace["spans"]
    ]


def to_lines(spans: Sequence[Span]) -> list[str]:
    """A line each: depth, service, name, when and how long."""
    begin = min((span.start_us for span in spans), default=0)
    return [
        f"{'  ' * depth}{span.service}: {_label(span)}"
        f"  +{(span.start_us - begin) / 1000:.1f} ms, {span.duration_us / 1000:.1f} ms"
        for depth, span in _tree(spans)
    ]


def to_svg(spans: Sequence[Span]) -> str:
    """A figure of it."""
    begin = min(span.start_us for span in spans)
    whole = max(span.start_us + span.duration_us for span in spans) - begin or 1
    colours = {
        name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(dict.fromkeys(s.service for _, s in _tree(spans)))
    }
    height = (len(spans) + 2) * _ROW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="14" fill="#555">0 ms</text>',
        f'<text x="{_WIDTH - 6}" y="14" fill="#555" text-anchor="end">{whole / 1000:.1f} ms</text>',
    ]
    scale = (_WIDTH - _LEFT - 10) / whole
    for row, (depth, span) in enumerate(_tree(spans), start=1):
        y = row * _ROW
        x, width = _LEFT + (span.start_us - begin) * scale, max(1.5, span.duration_us * scale)
        refused = ' stroke="#c00000" stroke-width="2"' if "govbus.reason" in span.tags else ""
        parts += [
            f'<text x="{6 + depth * 12}" y="{y + 14}">'
            f'<tspan fill="{colours[span.service]}">{escape(span.service)}</tspan> {escape(_label(span))}</text>',
            f'<rect x="{x:.1f}" y="{y + 5}" width="{width:.1f}" height="{_ROW - 8}" rx="2"'
            f' fill="{colours[span.service]}"{refused}/>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _label(span: Span) -> str:
    reason = span.tags.get("govbus.reason", "")
    return " ".join(filter(None, (span.name.rpartition("/")[2], span.tags.get("span.kind", ""), reason)))


def _tree(spans: Sequence[Span]) -> Iterator[tuple[int, Span]]:
    """Each below its parent, earliest first; with its depth."""
    known = {span.id for span in spans}
    below: dict[str, list[Span]] = {}
    for span in sorted(spans, key=lambda one: one.start_us):
        below.setdefault(span.parent if span.parent in known else "", []).append(span)

    def walk(parent: str, depth: int) -> Iterator[tuple[int, Span]]:
        for span in below.get(parent, ()):
            yield depth, span
            yield from walk(span.id, depth + 1)

    yield from walk("", 0)


def main() -> None:
    """Ask a Jaeger for one trace and draw it."""
    base, trace_id = sys.argv[1:]
    with urllib.request.urlopen(f"{base}/api/traces/{trace_id}", timeout=30) as answer:  # noqa: S310 (the caller's)
        sys.stdout.write(to_svg(read_trace(json.load(answer)["data"][0])))


if __name__ == "__main__":
    main()
