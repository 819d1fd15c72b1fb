"""Who sees to it that an engine's process is there, as seen by whoever needs the engine.

Its own child: bus.engines.supervisor. A process of another container or unit: bus.engines.elsewhere.
"""

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Engine", "Runner", "Started"]


class Runner(Protocol):
    """Between `start` and `stop`."""

    @property
    def pid(self) -> int | None:
        """Of the living process; None while there is none, or where it has none that means anything here."""

    @property
    def ready(self) -> bool:
        """Whether it was found ready."""

    @property
    def starts(self) -> int:
        """How often it was started by what this runner gave it."""

    def start(self, timeout: float = 20.0) -> None:
        """From here on it is looked after."""

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Until it is ready; EngineError otherwise."""

    def stop(self) -> None:
        """It is looked after no more."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a running engine says of its start."""

    by: str
    """The name of the files that it was started with."""
    seconds: float
    """How long ago."""


class Engine(Protocol):
    """Its own interface; every answer may be an OSError: it is not there."""

    def started(self) -> Started:
        """How it came to be."""

    def ready(self) -> bool:
        """Whether it serves; EngineError when it never will."""

    def end(self) -> None:
        """Drain it and end it; returns when it is gone."""
