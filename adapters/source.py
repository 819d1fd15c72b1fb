"""What every kind of source offers, whatever lies behind it. SQL is in adapters/sql; others get folders of their own.

The promises, for whoever writes another kind:

1. A source asks declared questions only. What a caller brings is a value of a question, never a part of its wording.
2. It answers before the call's deadline, or ends the call with a fixed text and a code; a servicer handles no fault.
3. What it cannot do now (away, busy, too slow) is said within the deadline, and it recovers by itself.
4. Reading changes nothing.
5. Each question is one span below the call's, with the question's name: no value, no wording, no text of an error.
6. While what lies behind it is away, `told(False)` is heard within seconds, and `told(True)` when it is back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc

__all__ = ["Context", "Page", "Row", "Runs", "Source", "Told", "Values"]

Context = grpc.aio.ServicerContext[Any, Any]
Row = Mapping[str, Any]
"""A row by the names of its columns."""
Values = Mapping[str, object]
"""What a question is asked with, by name."""
Told = Callable[[bool], Awaitable[None]]
"""Hears again and again whether what lies behind a source is there."""

_One = TypeVar("_One", contravariant=True)
_Many = TypeVar("_Many", contravariant=True)


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows in order, and the token that the next page is asked with; empty after the last."""

    rows: tuple[Row, ...]
    next_token: str


class Runs(Protocol):
    """What runs as long as the servicers that ask it."""

    def running(self, told: Told) -> AbstractAsyncContextManager[None]:
        """For the block it may be asked. CannotStart if the first look finds that it cannot be used."""


class Source(Runs, Protocol[_One, _Many]):
    """See the module's text for what each promises. `_One` and `_Many` are the kind's own declared questions."""

    async def fetch_one(self, context: Context, question: _One, values: Values) -> Row | None:
        """The one row, None if there is none."""

    async def fetch_page(self, context: Context, question: _Many, values: Values, size: int, token: str) -> Page:
        """Up to `size` rows (0: the source's choice) behind the page that gave `token`; the source has a limit, too."""
