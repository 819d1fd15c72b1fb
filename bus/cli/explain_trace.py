"""A call's spans out of a Jaeger, for `govbus explain --jaeger URL`: where its time went, and which trace is meant.

An id may be a request's, found by the attribute `govbus.request_id` of the broker's span, or a trace's: then the call
that began it is explained. Nothing is sent but the id.
"""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bus.evidence.trace import Span, below_of, read_trace, to_lines, tree_of

__all__ = ["Traced", "TracesUnread", "find_trace"]

_REQUEST_ID: Final = "govbus.request_id"
_SERVICE: Final = "govbus-broker"
_SECONDS: Final = 10.0
_LARGEST: Final = 64 << 20
_AROUND_US: Final = 3_600_000_000


class TracesUnread(Exception):
    """The Jaeger gave no answer that can be used; the text says what to check."""


@dataclass(frozen=True, slots=True)
class Traced:
    """Spans that Jaeger has; none where it has nothing about the id."""

    trace_id: str
    spans: tuple[Span, ...]
    request_id: bytes | None = None
    """Of the call that began the trace, where the id was the trace's."""

    def lines(self) -> list[str]:
        """One a span, below its parent."""
        return to_lines(self.spans)

    def document(self) -> dict[str, Any]:
        """The same for a program."""
        return {
            "trace_id": self.trace_id,
            "spans": [
                {
                    "depth": depth,
                    "service": one.service,
                    "name": one.name,
                    "start_us": one.start_us,
                    "duration_us": one.duration_us,
                    "reason": one.tags.get("govbus.reason"),
                }
                for depth, one in tree_of(self.spans)
            ],
        }


def find_trace(url: str, wanted: str) -> Traced:
    """What the Jaeger at `url` has of `wanted`, 32 hex digits; TracesUnread."""
    if not url.startswith(("http://", "https://")):
        raise TracesUnread(f"--jaeger is {url!r}; write http://host:port")
    try:
        if spans := _spans(_ask(url, f"/api/traces/{wanted}")):
            first = next((one.tags[_REQUEST_ID] for _, one in tree_of(spans) if _REQUEST_ID in one.tags), "")
            return Traced(wanted, tuple(spans), bytes.fromhex(first) or None)
        made_us = int(wanted[:12], 16) * 1000
        query = {
            "service": _SERVICE,
            "tags": json.dumps({_REQUEST_ID: wanted}),
            "start": made_us - _AROUND_US,
            "end": made_us + _AROUND_US,
            "limit": 1,
        }
        answer = _ask(url, f"/api/traces?{urllib.parse.urlencode(query)}")
        spans = _spans(answer)
        return Traced(answer["data"][0]["traceID"] if spans else "", tuple(below_of(spans, _REQUEST_ID, wanted)))
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", None) or error
        raise TracesUnread(f"{url} did not answer ({why}); name Jaeger's query API, usually port 16686") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TracesUnread(f"what {url} answered is no trace of Jaeger's query API, usually port 16686") from error


def _spans(answer: dict[str, Any]) -> Sequence[Span]:
    found = answer.get("data") or []
    return read_trace(found[0]) if found else ()


def _ask(url: str, path: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url.rstrip("/") + path, timeout=_SECONDS) as answer:  # noqa: S310 (http, as said)
            found: dict[str, Any] = json.loads(answer.read(_LARGEST))
            return found
    except urllib.error.HTTPError as error:
        if error.code == http.client.NOT_FOUND:
            return {}
        raise
