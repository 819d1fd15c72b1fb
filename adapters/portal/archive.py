"""What the portal keeps of its calls, below its home, for nobody but itself:

    evidence/<request id>/request.body      salt (32 bytes), then the frames, as `govbus evidence export
    evidence/<request id>/response.body     --request-body FILE --response-body FILE` takes them
    evidence/<request id>/*.bin             every header, statement and signature, as it travelled
    certificates/<case id>.bin              the certificate as it came out of the store

Folders are 0700, files 0600. Bodies name persons: what is no longer needed is deleted by whoever runs the portal.
A folder appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bus.exchange import CallEvidence
from native.codec import decode_request_header
from native.digest import frame
from pki.files import ensure_private_directory, publish_directory, write_atomic

__all__ = ["Archive", "request_id_of"]

_PARTS: Final = (
    *("request_header", "request_signature", "response_header", "response_signature"),
    *("admission", "admission_signature", "receipt", "receipt_signature", "gate_key", "gate_key_signature"),
)


class Archive:
    """Folders below `home`, which is there and private already."""

    def __init__(self, home: Path) -> None:
        self._home = home
        for name in ("evidence", "certificates"):
            ensure_private_directory(home / name)

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


def request_id_of(evidence: CallEvidence) -> str:
    """As `govbus explain` and `govbus evidence` take it."""
    return decode_request_header(evidence.request_header).request_id.hex()


def _files(evidence: CallEvidence) -> Iterator[tuple[str, bytes]]:
    for part in _PARTS:
        if data := getattr(evidence, part):
            yield f"{part}.bin", data
    yield "request.body", evidence.request_salt + b"".join(map(frame, evidence.request_messages))
    if evidence.response_salt:
        yield "response.body", evidence.response_salt + b"".join(map(frame, evidence.response_messages))
