"""A signing key in a file that is replaced by rename when the subsystem rotates it (protocol.md 1).

It is a HeaderSigner itself, for whoever signs once; whoever signs in batches takes `signer`, one key for one batch.
"""

from pathlib import Path

from pki.errors import ProfileError
from pki.signer import FileSigner

__all__ = ["SigningKeyFile"]


class SigningKeyFile:
    """The newest key of one file."""

    def __init__(self, path: Path) -> None:
        """FileNotFoundError, FilePermissionError or ProfileError if it cannot be used."""
        self.path = path
        self._stamp = self._look()
        self.signer = FileSigner.load(path)

    @property
    def key_id(self) -> bytes:
        """SHA-256(SPKI), 32 bytes, of the newest key."""
        return self.signer.key_id

    def sign(self, message: bytes) -> bytes:
        """64 bytes r || s, low s, by the newest key."""
        return self.signer.sign(message)

    def refresh(self) -> bool:
        """Read the file again if it was replaced; True if another key signs now. A bad file changes nothing."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return False
            found = FileSigner.load(self.path)
        except (OSError, ProfileError):
            return False
        self._stamp = stamp
        changed, self.signer = found.key_id != self.signer.key_id, found
        return changed

    def _look(self) -> tuple[int, int, int]:
        found = self.path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size
