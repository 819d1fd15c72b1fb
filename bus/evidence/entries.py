"""The ledger's entries of a call: its admission and its receipt, or its refusal (bus.ledger.entry, protocol.md 10)."""

from typing import Final

from bus.ledger.entry import EntryKind, ledger_entry

__all__ = ["INTENT", "OUTCOME", "REFUSAL", "ledger_entry"]

INTENT: Final = EntryKind.INTENT
OUTCOME: Final = EntryKind.OUTCOME
REFUSAL: Final = EntryKind.REFUSAL
