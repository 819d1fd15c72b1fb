"""What the ledger keeps, and what a crash may leave of it. Kept on a local disk in the layout of C2SP tlog-tiles.

The directory may be served as it stands by any web server, except `head`, `index.sqlite` and `lock` (mode 0600):

    tile/...        tiles and bundles of entries, as bus.ledger.tiles names them
    checkpoint      the newest published checkpoint
    ledger-key.txt  the public key that signs them
    head            the newest checkpoint with the sources' positions: the point of no return
    index.sqlite    entry -> index (bus.ledger.index), made anew from the bundles when it is lost
"""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from bus.ledger.tiles import ENTRIES, Tile
from bus.ledger.tree import ENTRY_BYTES
from pki.files import ensure_private_directory, write_atomic

__all__ = ["KEY_FILE", "DiskStorage", "LedgerLocked", "Storage", "TileFiles"]


KEY_FILE: Final = "ledger-key.txt"


class LedgerLocked(Exception):
    """Another process writes this ledger."""


class Storage(Protocol):
    """One ledger's durable state, with one writer.

    The writer's order is put_tiles, put_head, put_checkpoint, drop. Each is durable when it returns. A crash may leave:

    - within put_tiles: any of its tiles, whole. No head names them; the next put_tiles may replace them by others.
    - within put_head: the former head or the new one, whole. The former one's tiles are all there still.
    - before or within put_checkpoint: a published checkpoint that is one behind the head, never ahead of it.
    - within drop: some of the named tiles.

    An error from any of them says nothing of what is on the disk: open anew, and what is read then counts.
    """

    def tile(self, tile: Tile) -> bytes:
        """The tile's bytes, cut from a wider one where that width is gone. KeyError when there is none."""

    def put_tiles(self, tiles: Mapping[Tile, bytes]) -> None:
        """Write all of them. Never changes what the head's tree is made of."""

    def head(self) -> bytes | None:
        """None before the first."""

    def put_head(self, data: bytes) -> None:
        """Replace the head: all of it or nothing."""

    def checkpoint(self) -> bytes | None:
        """The published note; None before the first."""

    def put_checkpoint(self, note: bytes) -> None:
        """Publish a note: all of it or nothing."""

    def drop(self, full: Tile) -> None:
        """Forget the partial tiles that became this one."""


class TileFiles:
    """The readable part of a directory; for any number of processes beside the writer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def tile(self, tile: Tile) -> bytes:
        """See Storage."""
        try:
            return (self.directory / tile.path).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            # A reader may hold an older checkpoint: its partial tile may have become a full one since.
            try:
                data = (self.directory / tile.full.path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                raise KeyError(tile.path) from error
            return data[: tile.width * (2 + ENTRY_BYTES if tile.level == ENTRIES else 32)]

    def checkpoint(self) -> bytes | None:
        """See Storage."""
        try:
            return (self.directory / "checkpoint").read_bytes()
        except FileNotFoundError:
            return None


class DiskStorage(TileFiles):
    """Storage in a directory of its own; the lock is held from making it until close."""

    def __init__(self, directory: Path) -> None:
        """Make the directory if there is none; LedgerLocked while another process writes it."""
        super().__init__(ensure_private_directory(directory))
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise LedgerLocked(f"another process writes {directory}; one ledger, one writer") from error

    def close(self) -> None:
        """Let another process write."""
        os.close(self._lock)

    def put_tiles(self, tiles: Mapping[Tile, bytes]) -> None:
        """See Storage."""
        places = {self.directory / tile.path: data for tile, data in tiles.items()}
        changed: set[Path] = set()
        for path in places:
            changed |= self._make(path.parent)
        # All written before any is synced: the disk gets them at once. A leftover of a crash is written over.
        files = [(path, _write_new(path, data)) for path, data in places.items()]
        try:
            for _, descriptor in files:
                os.fdatasync(descriptor)
        finally:
            for _, descriptor in files:
                os.close(descriptor)
        for path, _ in files:
            _beside(path).replace(path)
            changed.add(path.parent)
        for folder in sorted(changed):
            _sync(folder)

    def head(self) -> bytes | None:
        """See Storage."""
        try:
            return (self.directory / "head").read_bytes()
        except FileNotFoundError:
            return None

    def put_head(self, data: bytes) -> None:
        """See Storage."""
        write_atomic(self.directory / "head", data)

    def put_key(self, text: str) -> None:
        """Lay the public key beside the checkpoints, unless it lies there."""
        path = self.directory / KEY_FILE
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomic(path, text.encode(), mode=0o644)

    def put_checkpoint(self, note: bytes) -> None:
        """See Storage."""
        write_atomic(self.directory / "checkpoint", note, mode=0o644)

    def drop(self, full: Tile) -> None:
        """See Storage."""
        folder = self.directory / f"{full.path}.p"
        if folder.is_dir():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()

    def _make(self, folder: Path) -> set[Path]:
        """Make a directory; those whose content that changed."""
        missing: list[Path] = []
        while not folder.is_dir():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            one.mkdir(mode=0o755)
        return {one.parent for one in missing}


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _write_new(path: Path, data: bytes) -> int:
    descriptor = os.open(_beside(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(data)
    return descriptor


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
