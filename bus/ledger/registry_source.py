"""The registry's log as a source: each event is an entry of its kind, over the event's chained hash.

 1. Events follow the integrated one without gap, each chained to the one before (bus.registry.event).
 2. The event that was integrated last is still the one with that hash: else the log was rolled back or rewritten.
An entry commits to the event and to all before it; whoever shows salt and event proves it, nobody else learns it.
"""

from itertools import islice
from typing import Final

from bus.engines.postgres_database import DatabaseUnavailable
from bus.ledger.entry import EntryKind, operator_salt, statement_entry
from bus.ledger.head import Position
from bus.ledger.source import Portion, SourceRefused, SourceUnavailable
from bus.registry.event import Event, LogBroken, parse_events
from bus.registry.state import EMPTY_HASH
from bus.registry.store import EventStore

__all__ = ["RegistrySource", "kind_of"]

PORTION: Final = 2_000
_KINDS: Final = {
    "grant": EntryKind.GRANT,
    "signing-key": EntryKind.KEY,
    "certificate": EntryKind.CERTIFICATE,
    "issuer": EntryKind.CERTIFICATE,
}


def kind_of(event_kind: str) -> EntryKind:
    """What an event is in the ledger, by the first word of its kind; all that is not listed is an operator's act."""
    return _KINDS.get(event_kind.partition(".")[0], EntryKind.OPERATOR_ACT)


class RegistrySource:
    """One registry's log."""

    name = "registry"

    def __init__(self, store: EventStore, salt_key: bytes) -> None:
        """`salt_key`: 32 secret bytes that are kept as long as the ledger."""
        self._store = store
        self._salt_key = salt_key

    def read(self, position: Position | None) -> Portion:
        """See Source."""
        at, head, time_ms = 0, EMPTY_HASH, 0
        if position:
            at, head, time_ms = int(position["position"]), bytes.fromhex(str(position["hash"])), int(position["time"])
        try:
            end = self._store.head()
            self._verify_anchor(at, head)
            stored = self._store.events(at, min(end, at + PORTION))
            events = list(islice(parse_events(stored, position=at, head=head, time_ms=time_ms), PORTION))
        except DatabaseUnavailable as error:
            raise SourceUnavailable(str(error)) from error
        except LogBroken as error:
            raise SourceRefused(str(error), {"integrated hash": head}) from error
        if events:
            at, head, time_ms = events[-1].position, events[-1].hash, events[-1].time_ms
        moved: Position = {"position": at, "hash": head.hex(), "time": time_ms}
        return Portion(tuple(map(self._entry, events)), moved, complete=at >= end, more=at < end)

    def _verify_anchor(self, at: int, head: bytes) -> None:
        """Rule 2."""
        found = [one.hash for one in self._store.events(at - 1, at)] if at else [head]
        if found != [head]:
            raise SourceRefused(
                "the registry's log is not the one that was integrated: it was rolled back or rewritten; stop the"
                " registry and compare with a backup",
                {"integrated hash": head, "found": b"".join(found)},
            )

    def _entry(self, event: Event) -> bytes:
        salt = operator_salt(self._salt_key, self.name, event.position)
        return statement_entry(kind_of(event.change.kind), salt, event.hash)
