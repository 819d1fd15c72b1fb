"""Draws a trace as Jaeger's API gives it: one line a span, below its parent, with where it lies in time.

    python -m tools.trace_figure http://127.0.0.1:16686 TRACE-ID > trace.svg

Text for a terminal, SVG for a page. Services have a colour each; a refused span is outlined, its reason beside it.
"""

import json
import sys
import urllib.request
from collections.abc import Sequence
from html import escape
from typing import Final

from bus.evidence.trace import Span, label_of, read_trace, tree_of

__all__ = ["to_svg"]

_ROW: Final = 20
_LEFT: Final = 430
_WIDTH: Final = 960
_COLOURS: Final = ("#4a6fa5", "#7a9e7e", "#b0763a", "#8a6fa8", "#5b9aa0", "#a85751", "#8b8b5a")


def to_svg(spans: Sequence[Span]) -> str:
    """A figure of it."""
    begin = min(span.start_us for span in spans)
    whole = max(span.start_us + span.duration_us for span in spans) - begin or 1
    colours = {
        name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(dict.fromkeys(s.service for _, s in tree_of(spans)))
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
    for row, (depth, span) in enumerate(tree_of(spans), start=1):
        y = row * _ROW
        x, width = _LEFT + (span.start_us - begin) * scale, max(1.5, span.duration_us * scale)
        refused = ' stroke="#c00000" stroke-width="2"' if "govbus.reason" in span.tags else ""
        parts += [
            f'<text x="{6 + depth * 12}" y="{y + 14}">'
            f'<tspan fill="{colours[span.service]}">{escape(span.service)}</tspan> {escape(label_of(span))}</text>',
            f'<rect x="{x:.1f}" y="{y + 5}" width="{width:.1f}" height="{_ROW - 8}" rx="2"'
            f' fill="{colours[span.service]}"{refused}/>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Ask a Jaeger for one trace and draw it."""
    base, trace_id = sys.argv[1:]
    with urllib.request.urlopen(f"{base}/api/traces/{trace_id}", timeout=30) as answer:  # noqa: S310 (the caller's)
        sys.stdout.write(to_svg(read_trace(json.load(answer)["data"][0])))


if __name__ == "__main__":
    main()
