"""The policy snapshots of one file as a source: each version that is seen there is an entry over its signed header.

The header names the digest of the tables, so the entry fixes every byte of the policy. The snapshot must be signed by
the pinned policy key and be newer than the one before it; an older one in its place is a rollback.
KNOWN: a version that is replaced before the next look is not entered; what gates served stands in their journals.
"""

from pathlib import Path

from bus.edge.snapshot_files import peek_header
from bus.ledger.entry import EntryKind, operator_salt, statement_entry
from bus.ledger.head import Position
from bus.ledger.source import Portion, SourceRefused, SourceUnavailable
from native.codec import CodecError, encode_snapshot_header
from native.digest import SNAPSHOT_TYPE, header_digest
from native.headers import SnapshotHeader
from native.snapshot import SnapshotError, verify_snapshot

__all__ = ["SnapshotSource"]


class SnapshotSource:
    """A file that is replaced by rename: a broker's `snapshot.bin`."""

    name = "snapshots"

    def __init__(self, path: Path, policy_key: bytes, salt_key: bytes) -> None:
        """`policy_key`: the pinned 65-byte point. `salt_key`: 32 secret bytes that are kept as long as the ledger."""
        self._path = path
        self._policy_key = policy_key
        self._salt_key = salt_key
        self._stamp: tuple[int, int] | None = None

    def read(self, position: Position | None) -> Portion:
        """See Source."""
        entered = int(position["version"]) if position else 0
        try:
            found = self._path.stat()
            stamp = found.st_mtime_ns, found.st_ino
            if stamp == self._stamp and position:
                return Portion((), position, complete=True)
            data = self._path.read_bytes()
        except OSError as error:
            raise SourceUnavailable(f"the snapshot cannot be read ({error.strerror}); is the path right?") from error
        header = self._verified(data)
        digest = header_digest(SNAPSHOT_TYPE, encode_snapshot_header(header))
        moved: Position = {"version": header.version, "header": digest.hex()}
        entries: tuple[bytes, ...] = ()
        if header.version > entered:
            salt = operator_salt(self._salt_key, self.name, header.version)
            entries = (statement_entry(EntryKind.SNAPSHOT, salt, digest),)
        elif position and moved != position:
            raise SourceRefused(
                "the policy snapshot was rolled back, or two have one version; stop the compiler and keep the file",
                {"snapshot header": encode_snapshot_header(header)},
            )
        self._stamp = stamp
        return Portion(entries, moved, complete=True)

    def _verified(self, data: bytes) -> SnapshotHeader:
        try:
            header = peek_header(data)
            verify_snapshot(data, self._policy_key, header.trust_domain, header.scope, header.created_at_ms)
        except (CodecError, SnapshotError, ValueError) as error:
            raise SourceRefused(f"the snapshot is not the policy key's: {error}", {"file": data[:2048]}) from error
        return header
