"""The sequencer: the one writer of a ledger. Entries in, signed checkpoints out; it never signs two histories.

 1. Opening holds the directory's lock, verifies the head's checkpoint with the ledger's key, rebuilds the right edge
    from the stored tiles and requires the checkpoint's root; of each level the last full tile must hash to what the
    tile above it says, and the last bundles to their tiles.
 2. The published checkpoint, and each that others kept and gave (`known`), must be a beginning of the head's tree.
 3. A batch: tiles become durable, then the checkpoint is signed, then head (checkpoint and positions), then the
    published checkpoint. Nothing signed leaves this process before it is in the head.
 4. An error on the way breaks it: nothing more is written until it is opened anew.
What 1 and 2 find wrong is LedgerInconsistent, with both checkpoints. KNOWN: an older copy of the whole directory looks
right by itself; `known` is there to notice that, and witnesses will be.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bus.ledger.checkpoint import (
    LedgerInconsistent,
    SignedCheckpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from bus.ledger.head import Head, Position, encode_head, parse_head
from bus.ledger.index import EntryIndex
from bus.ledger.note import NoteSigner
from bus.ledger.storage import DiskStorage
from bus.ledger.tiles import WIDTH
from bus.ledger.tree import Edge, TreeDamaged, TreeReader, audited

__all__ = ["Sequencer", "SequencerBroken"]


class SequencerBroken(Exception):
    """A write failed earlier, and nobody knows what the disk holds."""

    def __init__(self) -> None:
        super().__init__("a write failed and the ledger stands still; check the disk, then start it again")


class Sequencer:
    """For use by one thread; `checkpoint` and `positions` may be read by others."""

    def __init__(self, directory: Path, signer: NoteSigner, *, known: Sequence[bytes] = ()) -> None:
        """Open or begin the ledger of the signer's name. LedgerLocked, HeadInvalid, CheckpointInvalid,
        LedgerInconsistent."""
        self._signer = signer
        self._storage = DiskStorage(directory)
        self._broken = False
        try:
            self._open(known)
            self._index = EntryIndex(directory / "index.sqlite")
            self._bring_up_index()
        except BaseException:
            self._storage.close()
            raise

    def _open(self, known: Sequence[bytes]) -> None:
        data = self._storage.head()
        if data is None:
            self._begin()
        else:
            head = parse_head(data)
            self.checkpoint = verify_checkpoint(head.checkpoint, self._signer.verifier)
            self.positions: Mapping[str, Position] = head.sources
            self._edge = self._read_edge()
        self._storage.put_key(self._signer.verifier.text + "\n")
        published = self._storage.checkpoint()
        for note in (*known, *([published] if published is not None else [])):
            self._verify_prefix(note)
        if published != self.checkpoint.note:  # a crash came between head and publication
            self._storage.put_checkpoint(self.checkpoint.note)

    def _begin(self) -> None:
        if self._storage.checkpoint() is not None:
            note = self._storage.checkpoint() or b""
            raise LedgerInconsistent("a checkpoint is published but the ledger's head is gone", b"", note)
        self._edge, self.positions = Edge(), {}
        self.checkpoint = sign_checkpoint(self._signer, 0, self._edge.root)
        self._storage.put_head(encode_head(Head(self.checkpoint.note)))

    def _read_edge(self) -> Edge:
        reader = TreeReader(self.checkpoint.size, self._storage.tile)
        try:
            edge = reader.edge()
            for level, number in _last_full(self.checkpoint.size):
                reader.verify_full(level, number)
            for number in {(self.checkpoint.size - 1) // WIDTH, self.checkpoint.size // WIDTH - 1} - {-1}:
                reader.entries(number)
        except TreeDamaged as error:
            raise LedgerInconsistent(
                f"the stored tiles are not those of the checkpoint: {error}", b"", self.checkpoint.note
            ) from error
        if edge.root != self.checkpoint.root:
            raise LedgerInconsistent("the stored tiles hash to another root", b"", self.checkpoint.note)
        return edge

    def _verify_prefix(self, note: bytes) -> None:
        """Rule 2."""
        earlier, now = verify_checkpoint(note, self._signer.verifier), self.checkpoint
        if earlier.size > now.size:
            raise LedgerInconsistent("a larger tree was signed before: this one was rolled back", now.note, note)
        try:
            root = TreeReader(now.size, self._storage.tile).root(earlier.size)
        except TreeDamaged as error:
            raise LedgerInconsistent(f"an earlier checkpoint cannot be reached: {error}", note, now.note) from error
        if root != earlier.root:
            raise LedgerInconsistent("another tree of that size was signed: a fork", note, now.note)

    def integrate(self, entries: Sequence[bytes], positions: Mapping[str, Position]) -> SignedCheckpoint:
        """Append entries and move the sources' positions, both or neither; the new checkpoint, published.

        `positions` replaces those of the sources that it names. Without entries no checkpoint is signed: the positions
        alone are kept. SequencerBroken or OSError: open anew.
        """
        if self._broken:
            raise SequencerBroken
        self._broken = True  # until all of it happened
        edge, tiles = self._edge.append(entries)
        checkpoint = self.checkpoint
        if entries:
            self._storage.put_tiles(tiles)
            checkpoint = sign_checkpoint(self._signer, edge.size, edge.root)
        moved = {**self.positions, **positions}
        self._storage.put_head(encode_head(Head(checkpoint.note, moved)))
        if entries:
            self._storage.put_checkpoint(checkpoint.note)
            self._index.add(self._edge.size, entries)
        self._edge, self.checkpoint, self.positions = edge, checkpoint, moved
        for tile in tiles:
            if tile.width == WIDTH:
                self._storage.drop(tile)
        self._broken = False
        return checkpoint

    def audit(self) -> int:
        """Read everything that is stored and hold it to the checkpoint; how many entries. LedgerInconsistent."""
        count = 0
        try:
            for entries in audited(self.checkpoint.size, self._storage.tile):
                count += len(entries)
        except TreeDamaged as error:
            raise LedgerInconsistent(str(error), b"", self.checkpoint.note) from error
        return count

    def close(self) -> None:
        """Let another process write."""
        self._broken = True
        self._index.close()
        self._storage.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _bring_up_index(self) -> None:
        size = self.checkpoint.size
        if self._index.size > size:
            self._index.forget()
        if self._index.size < size:
            self._index.catch_up(size, self._bundles(self._index.size // WIDTH, size))

    def _bundles(self, number: int, size: int) -> Iterator[tuple[int, Sequence[bytes]]]:
        while number * WIDTH < size:
            yield number * WIDTH, TreeReader(size, self._storage.tile).entries(number)
            number += 1


def _last_full(size: int) -> Iterator[tuple[int, int]]:
    """Level and number of the last full tile of each level."""
    level = 0
    while full := size >> 8 * (level + 1):
        yield level, full - 1
        level += 1
