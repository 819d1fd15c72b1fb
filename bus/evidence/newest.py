"""The newest call in journals that somebody meant: what the bus asks of itself, renewals and proofs, is none."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from native.headers import RequestHeader
from native.journal import load_segments, read_groups
from native.journal_records import Intent, RefusedRequest, parse_record

__all__ = ["newest_request"]

_OWN: Final = "govbus."
"""With this begin the purposes of the bus itself."""


def newest_request(journals: Iterable[Path]) -> bytes | None:
    """Its request id; None where no journal has any. native.journal.JournalDamaged when a journal is."""
    newest: tuple[int, bytes] | None = None
    for directory in journals:
        for group in read_groups(load_segments(directory)):
            for record in group.records:
                found = parse_record(record)
                if isinstance(found, Intent):
                    newest = _later(newest, found.admission.intent_time_ms, found.request)
                elif isinstance(found, RefusedRequest):
                    newest = _later(newest, found.refusal.time_ms, found.request)
    return None if newest is None else newest[1]


def _later(newest: tuple[int, bytes] | None, time_ms: int, request: RequestHeader) -> tuple[int, bytes] | None:
    if request.purpose.startswith(_OWN) or (newest is not None and newest[0] > time_ms):
        return newest
    return time_ms, request.request_id
