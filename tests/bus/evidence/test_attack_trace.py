"""Spans are whatever their senders say: a tree of them is told once each, in time that their number allows."""

import pytest

from bus.evidence.trace import Span, below_of, to_lines, tree_of


def span(name: str, parent: str, tag: str = "") -> Span:
    return Span(name, parent, "somebody", f"/a/{name}", 0, 1, {"id": tag} if tag else {})


HOSTILE = {
    "two of each name": [span("0", ""), *(span(str(i), str(i - 1)) for i in range(1, 60) for _ in range(2))],
    "a chain": [span(str(i), str(i - 1)) for i in range(1, 3000)],
    "no name": [span("", "")] * 5,
}


@pytest.mark.parametrize("how", HOSTILE)
def test_every_span_is_told_once(how: str) -> None:
    spans = HOSTILE[how]
    assert len(list(tree_of(spans))) == len(spans)
    assert max(map(len, to_lines(spans))) < 120


def test_circle_of_spans_is_below_nothing_and_is_left_out() -> None:
    spans = [span("a", "b"), span("b", "a"), span("c", ""), span("d", "c", "wanted")]
    assert [one.id for _, one in tree_of(spans)] == ["c", "d"]
    assert [one.id for one in below_of(spans, "id", "wanted")] == ["d"]
