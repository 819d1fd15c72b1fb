"""Where the spans of a command's own calls go: where OTEL_* say, else where its instance was told to send its own.

`govbus up --otlp` is for that start; while it runs, its state says so (`supervisor/wanted`). It counts for a home with
the policy key of that instance, wherever the home is kept, and a user who can read the state.
"""

import json
from contextlib import AbstractContextManager

from bus.cli.call_caller import Caller
from bus.exchange.otlp import Exported, export_spans
from bus.up.layout import Layout

__all__ = ["spans_of"]


def spans_of(layout: Layout, caller: Caller) -> AbstractContextManager[Exported]:
    """For the block: the spans of calls that this process makes as `caller`, if anybody said where to."""
    return export_spans(caller.identity.path, collector=_collector(layout, caller))


def _collector(layout: Layout, caller: Caller) -> str | None:
    try:
        if caller.config.identity.policy_key.read_bytes() != layout.policy_key.read_bytes():
            return None
        found = json.loads(layout.wanted.read_bytes())["collector"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it does not run, or is not this user's to read
    return found if isinstance(found, str) else None
