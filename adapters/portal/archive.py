"""What the portal keeps of its calls, below its home, for nobody but itself:

    evidence/<request id>/request.body      salt (32 bytes), then the frames, as `govbus evidence export
    evidence/<request id>/response.body     --request-body FILE --response-body FILE` takes them
    evidence/<request id>/*.bin             every header, statement and signature, as it travelled
    certificates/<case id>.bin              the certificate as it came out of the store

Folders are 0700, files 0600. A folder appears whole or not at all.

Bodies name persons, so nothing is kept for ever: `tidy` deletes what is older than the archive's days, then the oldest
beyond its number. What others hold proves the same without it: the ledger has digests only, and an exported bundle
brings all that it proves. Deleted is what would show, at a later export, what the bodies said.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from bus.exchange import CallEvidence
from native.codec import decode_request_header
from native.digest import frame
from pki.files import ensure_private_directory, publish_directory, write_atomic

__all__ = ["KEEP_CALLS", "KEEP_DAYS", "Archive", "request_id_of"]

KEEP_DAYS: Final = 30
KEEP_CALLS: Final = 20_000  # some 60 KiB each, most of it the file system's
_DAY_S: Final = 86_400
_STAGED_S: Final = 3_600  # what a killed portal had begun to write
_OURS: Final = re.compile(r"[0-9a-f]{32}|BIRTH-[0-9a-f]{12}\.bin")
_STAGED: Final = re.compile(r"\.(?:[0-9a-f]{32}|BIRTH-[0-9a-f]{12}\.bin)\..+")

_FOLDERS: Final = ("evidence", "certificates")
_PARTS: Final = (
    *("request_header", "request_signature", "response_header", "response_signature"),
    *("admission", "admission_signature", "receipt", "receipt_signature", "gate_key", "gate_key_signature"),
)


class Archive:
    """Folders below `home`, which is there and private already. Kept at most `days`, and of the newest `calls`."""

    def __init__(self, home: Path, days: int = KEEP_DAYS, calls: int = KEEP_CALLS) -> None:
        self._home, self._days, self._calls = home, days, calls
        for name in _FOLDERS:
            ensure_private_directory(home / name)

    def tidy(self, now: float) -> int:
        """Delete what is kept no longer, at `now` in seconds since 1970; how much that was. What else lies there, and
        what somebody put there under another name, stays. OSError for what could not be deleted, after all the rest."""
        gone = [path for name in _FOLDERS for path in self._past(self._home / name, now)]
        failure: OSError | None = None
        for path in gone:
            try:
                _delete(path)
            except OSError as error:  # of one: the others name persons, too
                failure = failure or error
        if failure is not None:
            raise failure
        return len(gone)

    def keep(self, evidence: CallEvidence) -> str:
        """Keep one call's evidence; its folder, relative to the home."""
        name = f"evidence/{request_id_of(evidence)}"

        def fill(folder: Path) -> None:
            for file, data in _files(evidence):
                write_atomic(folder / file, data)

        publish_directory(self._home / name, fill)
        return name

    def keep_certificate(self, case_id: str, body: bytes) -> str:
        """Keep a certificate; its file, relative to the home."""
        name = f"certificates/{case_id}.bin"
        write_atomic(self._home / name, body)
        return name

    def _past(self, folder: Path, now: float) -> list[Path]:
        kept: list[tuple[float, Path]] = []
        gone: list[Path] = []
        for path in folder.iterdir():
            with suppress(FileNotFoundError):  # was begun, and has got its name meanwhile
                age = now - path.lstat().st_mtime
                if _OURS.fullmatch(path.name):
                    kept.append((age, path))
                elif _STAGED.fullmatch(path.name) and age > _STAGED_S:
                    gone.append(path)
        kept.sort()
        gone += [path for number, (age, path) in enumerate(kept) if number >= self._calls or age > self._days * _DAY_S]
        return gone


def request_id_of(evidence: CallEvidence) -> str:
    """As `govbus explain` and `govbus evidence` take it."""
    return decode_request_header(evidence.request_header).request_id.hex()


def _delete(path: Path) -> None:
    """Out of sight first: nobody meets half of it."""
    hidden = path if path.name.startswith(".") else path.rename(path.with_name(f".{path.name}.gone"))
    if hidden.is_dir() and not hidden.is_symlink():
        shutil.rmtree(hidden)
    else:
        hidden.unlink()


def _files(evidence: CallEvidence) -> Iterator[tuple[str, bytes]]:
    for part in _PARTS:
        if data := getattr(evidence, part):
            yield f"{part}.bin", data
    yield "request.body", evidence.request_salt + b"".join(map(frame, evidence.request_messages))
    if evidence.response_salt:
        yield "response.body", evidence.response_salt + b"".join(map(frame, evidence.response_messages))
