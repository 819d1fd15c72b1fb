"""Looks after what a runtime lives on: follows its files, and renews what ends (`renewal` in its configuration).

Certificate (renewal), signing key (rotation) and, where no publisher reaches its home, the snapshot (fetch) each take
their steps on threads of their own; `look` is what a watch calls twice a second, and it never waits for a network.
A signer that is no file of ours (a token) is its owner's to rotate.
"""

from bus.exchange.config import Identity
from bus.exchange.fetch import SnapshotFetcher
from bus.exchange.renewal import Renewer
from bus.exchange.rotation import KeyRotator
from bus.exchange.signing import BatchSigner, HeaderSigner
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.trust import SnapshotFile

__all__ = ["Keeper", "newest_key"]


def newest_key(signer: HeaderSigner) -> HeaderSigner:
    """One key out of what may hold several one after the other: for signing one batch."""
    return signer.signer if isinstance(signer, SigningKeyFile) else signer


class Keeper:
    """For one identity of one process."""

    def __init__(
        self, identity: Identity, signer: HeaderSigner, snapshot: SnapshotFile, batches: BatchSigner | None = None
    ) -> None:
        """`batches`: what is to sign by the newest key."""
        self._snapshot, self._batches = snapshot, batches
        self._key = signer if isinstance(signer, SigningKeyFile) else None
        self._renewer = Renewer(identity, signer)
        renewing = identity.renewal is not None
        self._rotator = KeyRotator(identity, self._key, snapshot) if renewing and self._key else None
        fetching = identity.renewal is not None and identity.renewal.snapshot
        self._fetcher = SnapshotFetcher(identity, signer, snapshot) if fetching else None

    def look(self) -> bool:
        """See what was replaced, begin what is due; from one thread at a time."""
        changed = self._snapshot.watch()
        if self._key is not None:
            self._key.refresh()
            if self._batches is not None and self._batches.key_id != self._key.key_id:
                self._batches.use(self._key.signer)
        self._renewer.look()
        if self._rotator is not None:
            self._rotator.look()
        if self._fetcher is not None:
            self._fetcher.start()
        return changed

    def stop(self) -> None:
        """Begin nothing more."""
        if self._fetcher is not None:
            self._fetcher.stop()
