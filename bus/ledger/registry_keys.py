"""Registered signing keys for the journal's source: from the policy, else from all that was ever registered.

The policy is a file and needs no database, but forgets keys a day after their end. A journal may be older than that
when a ledger begins, or was down for long: then the registry's log is searched, which costs a walk over it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bus.engines.postgres_database import DatabaseUnavailable
from bus.exchange.trust import SnapshotFile
from bus.exchange.view import KeyRecord
from bus.ledger.source import SourceUnavailable
from bus.registry.codec import decode_change
from bus.registry.keys import SigningKeyAdded, SigningKeyRetired, SigningKeyRevoked
from bus.registry.store import EventStore
from native.ecdsa import PublicKey
from native.snapshot import SnapshotError

__all__ = ["RegisteredKeys"]

_KINDS: Final = (SigningKeyAdded.kind, SigningKeyRetired.kind, SigningKeyRevoked.kind)


class RegisteredKeys:
    """A bus.ledger.journal_source.KeyLookup."""

    def __init__(
        self, snapshot: SnapshotFile, store: Callable[[], EventStore], identity_of: Callable[[str], str]
    ) -> None:
        """`store`: the registry's log, SourceUnavailable without one. `identity_of`: path to SPIFFE ID."""
        self._snapshot, self._store, self._identity_of = snapshot, store, identity_of

    def __call__(self, key_id: bytes) -> KeyRecord | None:
        """The key of this id; None if nobody ever registered it. SourceUnavailable while that cannot be said."""
        try:
            self._snapshot.refresh()
            found = self._snapshot.current.key(key_id)
        except (OSError, SnapshotError):
            found = None
        return found or self._registered(key_id)

    def _registered(self, key_id: bytes) -> KeyRecord | None:
        found: KeyRecord | None = None
        try:
            for event in self._store().events():
                change = decode_change(event.kind, event.payload) if event.kind in _KINDS else None
                if isinstance(change, SigningKeyAdded) and change.key_id == key_id:
                    found = KeyRecord(
                        self._identity_of(change.subsystem),
                        change.not_before_ms,
                        change.not_after_ms,
                        PublicKey.from_point(change.point),
                    )
                elif isinstance(change, SigningKeyRetired) and change.key_id == key_id and found is not None:
                    found = replace(found, not_after_ms=change.not_after_ms)
                elif isinstance(change, SigningKeyRevoked) and change.key_id == key_id and found is not None:
                    found = replace(found, not_after_ms=min(found.not_after_ms, event.time_ms - 1))
        except DatabaseUnavailable as error:
            raise SourceUnavailable(
                f"the policy here does not know the key that certified a gate key, and the registry cannot be asked:"
                f" {error}"
            ) from error
        return found
