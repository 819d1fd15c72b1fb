"""How `govbus explain` reads: at most 100 columns, whatever reads it; an id, a path or a command is never broken.

<id>: SERVED
  which call it is, where no id was given
  one sentence
<when>  <who> <what>
          details
spans of trace ...
next
"""

import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from bus.cli.explain_trace import Traced
from bus.evidence.ending import Ending, path_of
from bus.evidence.explain import Happening
from bus.up.report_parts import iso
from native.headers import RequestHeader

__all__ = ["life_lines"]

_WIDTH: Final = 100
_WHEN: Final = 26


def life_lines(
    request_id: str,
    ending: Ending,
    life: Iterable[Happening],
    traced: Traced | None,
    *,
    newest: RequestHeader | None = None,
) -> Iterator[str]:
    """Line by line. `newest`: what nobody named by its id, and must be told from the call that one had in mind."""
    yield f"{request_id}: {ending.word}"
    if newest is not None:
        who, when = path_of(newest.client), iso(newest.issued_at_ms)
        yield from _folded(f"the newest call written down: {newest.method[1:]}, by {who}, {when}", "  ", "  ")
    yield from _folded(ending.text, "  ", "  ")
    for one in life:
        yield from _folded(f"{one.who} {one.what}", _moment(one.time_ms).ljust(_WHEN), " " * (_WHEN + 2))
        below = [*one.details, *(f"registry: {said}" for said in one.registry)]
        for said in below:
            yield from _folded(said, " " * (_WHEN + 2), " " * (_WHEN + 4))
    if traced is not None:
        yield from _spans(traced)
    if ending.then:
        yield "next"
        for said in ending.then:
            yield from _advised(said)


def _advised(said: str) -> Iterator[str]:
    """A command that ends it and does not fit has a line of its own, whole: it is there to be copied."""
    prose, colon, command = said.partition(": govbus ")
    if not colon or len(said) + 4 <= _WIDTH:
        yield from _folded(said, "  - ", "    ")
        return
    yield from _folded(f"{prose}:", "  - ", "    ")
    yield f"      govbus {command}"


def _spans(traced: Traced) -> Iterator[str]:
    if not traced.spans:
        yield "no spans: this Jaeger has none of it; govbus up --otlp HOST:PORT has an instance send them"
        return
    yield f"spans of trace {traced.trace_id}"
    for line in traced.lines():
        body = line.lstrip()
        indent = "  " + line[: len(line) - len(body)]
        yield from _folded(body, indent, indent + "    ")


def _moment(time_ms: int | None) -> str:
    """With its milliseconds: a call takes some."""
    if time_ms is None:
        return ""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _folded(text: str, first: str, further: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )
