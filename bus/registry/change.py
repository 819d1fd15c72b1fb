"""What every kind of change has: rules, an effect, and the keys that it claims. One class a kind, rules beside shape.

A change is verified when it is asked for, against the state of that moment; never again when the log is read, because
rules may grow stricter and the past does not change. Its effect (`apply`) therefore never refuses and never looks at a
clock. Fields are what is stored: text, numbers, bytes, tuples and dataclasses of these (bus.registry.codec). A new
field gets a default, or old events could not be read; a default never changes, or they would be read otherwise.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from bus.registry.draft import Draft

__all__ = ["Change", "KeyClaim"]


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """A key that a change brings in: the registry takes each key once, for ever, whatever for."""

    key_id: bytes
    use: Literal["signing", "tls"]
    subsystem: str


class Change(ABC):
    """Something that happened to the registry."""

    __slots__ = ()

    kind: ClassVar[str]
    """Its name in the log; never changed."""

    @abstractmethod
    def verify(self, draft: Draft, at_ms: int) -> None:
        """Raise Refusal unless this may happen to `draft` at `at_ms`."""

    @abstractmethod
    def apply(self, draft: Draft, at_ms: int) -> None:
        """Let it happen. `draft` is one that it was verified against, or the same log read again."""

    def claims(self) -> tuple[KeyClaim, ...]:
        """Keys that must not have been seen before."""
        return ()

    def attachments(self) -> tuple[bytes, ...]:
        """SHA-256 of files that must be stored with it."""
        return ()
