"""A first start that was refused leaves nothing: what it made goes again, what was there before stays.

Only before anything was founded (instance.json): an instance is taken up again by its next start.
"""

import shutil
from contextlib import suppress
from types import TracebackType
from typing import Self

from bus.up.layout import Layout
from bus.up.process import guardian_pid, supervisor_pid

__all__ = ["FirstTry"]


class FirstTry:
    """Made before a start makes anything. As a context it clears where something is raised."""

    def __init__(self, layout: Layout) -> None:
        """Notes what is not there."""
        self._layout = layout
        self._missing = [one for one in (layout.supervisor, layout.state, *layout.state.parents) if not one.exists()]

    def clear(self) -> None:
        """Remove what was made since; nothing where an instance was founded, or somebody else starts one here."""
        layout = self._layout
        if layout.supervisor not in self._missing or (layout.state / "instance.json").exists():
            return
        with suppress(OSError):  # what cannot be removed, or is no more there, stops nobody
            if (supervisor_pid(layout), guardian_pid(layout)) != (None, None):
                return
            shutil.rmtree(layout.supervisor)
        with suppress(OSError):  # something else is in it
            for one in self._missing[1:]:
                one.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.clear()
