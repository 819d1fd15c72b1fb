"""Did you mean ...? For a name that nobody knows, the known one that is most like it."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Final

__all__ = ["did_you_mean"]

_ALIKE: Final = 0.7
_MOST: Final = 20_000
"""Names that are looked at: a country's registry has more, and a person waits."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?`, to be put behind what is said of `wrong`; empty where nothing is like it."""
    names = [name for name, _ in zip(known, range(_MOST), strict=False)]
    folded = {name.lower(): name for name in reversed(names)}
    found = get_close_matches(wrong.lower(), folded, 1, _ALIKE)
    if not found:  # right but for what stands before it: a service without its package, a system without its member
        ends = {_last_part(name): name.lower() for name in reversed(names)}
        found = [ends[one] for one in get_close_matches(_last_part(wrong), ends, 1, _ALIKE)]
    return f"; did you mean {folded[found[0]]}?" if found and folded[found[0]] != wrong else ""


def _last_part(name: str) -> str:
    return name.lower().rpartition("/")[2].rpartition(".")[2]
