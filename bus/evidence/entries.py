"""The ledger's entry of a journal record: SHA-256(PAE(`govbus/entry/v1`, kind || record)) (protocol.md 10).

The record is the Admission or Receipt itself; its first field is the salt that keeps an entry from revealing anything.
"""

from typing import Final

from native.digest import ENTRY_TYPE, header_digest

__all__ = ["INTENT", "OUTCOME", "ledger_entry"]

INTENT: Final = 1
OUTCOME: Final = 2


def ledger_entry(kind: int, record: bytes) -> bytes:
    """32 bytes."""
    return header_digest(ENTRY_TYPE, bytes((kind,)) + record)
