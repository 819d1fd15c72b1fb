"""What the journal answers instead of a record."""

import os

__all__ = ["JournalError"]

_NEXT = {
    "broken": "a write or sync failed and nothing is acknowledged any more; check the disk, then restart",
    "full": "no room can be reserved for a record and its outcome; free space under the journal",
    "stopped": "it was closed; open it again",
    "invalid": "this cannot be a record; check lengths and numbers against docs/formats.md",
    "locked": "another process writes this directory; one instance, one directory",
    "corrupt": "bytes that were acknowledged are damaged or missing; keep the files, then restore a copy",
    "io": "reading or making its files failed; check the directory, its owner and the disk",
    "memory": "memory is short",
    "format": "its files are of another version",
}


class JournalError(Exception):
    """The journal did not take, or will never acknowledge, a record; or cannot be opened. `reason` is one of broken,
    full, stopped, invalid, locked, corrupt, io, memory, format; `errno` is 0 where the system gave none."""

    def __init__(self, reason: str, errno: int = 0) -> None:
        cause = f" ({os.strerror(errno)})" if errno else ""
        super().__init__(f"journal {reason}{cause}: {_NEXT[reason]}")
        self.reason = reason
        self.errno = errno
