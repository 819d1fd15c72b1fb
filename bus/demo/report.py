"""What the demonstration claimed and what it found. A claim holds when what was found is, word for word, as expected.

The document that `--json` prints:

    {"format": 3, "holds": bool, "seconds": float, "state": path or null, "next": [commands to try],
     "claims": [{"step", "name", "text", "expected", "found", "holds"}],
     "nation": {"people", "ready_s", "memory_mib"},
     "members": [...], "calls": [...], "papers": [...], "attacks": [...], "flips": [...],
     "milliseconds": {name: how long something took that was measured}}

Persons appear nowhere in it, and numbers of persons only masked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

__all__ = ["Claim", "DemoError", "Report"]


class DemoError(Exception):
    """The demonstration cannot go on; the text is one line that says what to do."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that was said and checked."""

    step: str
    name: str
    text: str
    expected: str
    found: str

    @property
    def holds(self) -> bool:
        """Whether it is so."""
        return self.found == self.expected


@dataclass(slots=True)
class Report:
    """Everything found so far; the tables are lists of plain dictionaries."""

    claims: list[Claim] = field(default_factory=list)
    nation: dict[str, object] = field(default_factory=dict)
    members: list[dict[str, object]] = field(default_factory=list)
    calls: list[dict[str, object]] = field(default_factory=list)
    papers: list[dict[str, object]] = field(default_factory=list)
    attacks: list[dict[str, object]] = field(default_factory=list)
    flips: list[dict[str, object]] = field(default_factory=list)
    milliseconds: dict[str, int] = field(default_factory=dict)
    step: str = ""

    @property
    def holds(self) -> bool:
        """Whether every claim does, and there were any."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    @contextmanager
    def during(self, step: str) -> Iterator[None]:
        """Claims made inside belong to `step`."""
        before, self.step = self.step, step
        yield
        self.step = before

    def claim(self, name: str, text: str, expected: object, found: object) -> Claim:
        """Write down a claim and what was found."""
        claim = Claim(self.step, name, text, str(expected), str(found))
        self.claims.append(claim)
        return claim

    def measured(self, name: str, milliseconds: int) -> None:
        """Write down how long something took; no claim depends on it."""
        self.milliseconds[name] = milliseconds

    def document(self, *, seconds: float, state: str | None, following: list[str]) -> dict[str, object]:
        """What `--json` prints."""
        return {
            "format": 3,
            "holds": self.holds,
            "seconds": round(seconds, 1),
            "state": state,
            "next": following,
            "claims": [asdict(claim) | {"holds": claim.holds} for claim in self.claims],
            "nation": self.nation,
            "members": self.members,
            "calls": self.calls,
            "papers": self.papers,
            "attacks": self.attacks,
            "flips": self.flips,
            "milliseconds": self.milliseconds,
        }
