"""The calls that a birth took, from the brokers' journals: shown, and held against grants and what the portal told."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from bus.demo.birth import Told
from bus.demo.records import JournaledCall, read_records
from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.nation.members import GRANTS, PORTAL

__all__ = ["claim_calls", "journaled", "show_calls"]

_SETTLED_S: Final = 10.0
_LOOK_S: Final = 0.1
_NEEDED: Final = (
    *("ResolveUnit of units",) * 2,  # the split ward, then the other one
    *("GetPerson of population",) * 2,  # the parents, for the certificate
    "RegisterNewborn of population",
    "Put of store",
    *("GetPerson of population",) * 2,  # the child, for its card and as the mother's
    "GetStatus of business",
)
"""What others than the portal asked: the least that a birth needs, by the contracts."""


def journaled(journals: Sequence[Path], cases: set[str]) -> list[JournaledCall]:
    """Every call of these cases that a broker admitted, in the order of time, once all of them have ended."""
    until = time.monotonic() + _SETTLED_S
    while True:
        calls = [call for journal in journals for call in read_records(journal).calls if call.case_id in cases]
        if all(call.outcome for call in calls) or time.monotonic() > until:
            return sorted(calls, key=lambda call: call.intent_ms)
        time.sleep(_LOOK_S)


def show_calls(calls: Iterable[JournaledCall], screen: Screen) -> None:
    """Who asked whom."""
    columns = ("who", "asked whom", "what", "purpose", "", "ms", "entry")
    rows = [
        (
            call.client,
            call.provider,
            call.method,
            call.purpose,
            call.status,
            str(call.milliseconds),
            str(call.outcome_sequence) if call.receipt else "NONE",
        )
        for call in calls
    ]
    screen.table(columns, rows, title="Every call of this birth, and the entry of its receipt in the broker's journal")


def claim_calls(calls: list[JournaledCall], runs: Sequence[Told], home: Path, report: Report, screen: Screen) -> None:
    """Recorded, granted, no more than needed, and as the portal told."""
    report.calls += [call.document() for call in calls]
    settled = sum(call.outcome == "DONE" and bool(call.receipt) for call in calls)
    text = f"all {len(calls)} calls were admitted, answered, and recorded with a receipt"
    screen.claim(report.claim("all-recorded", text, len(calls), settled))
    granted = {
        (row.client, row.provider, method.rpartition("/")[2], purpose)
        for row in GRANTS
        for method in row.methods
        for purpose in row.purposes
    }
    beyond = [call.method for call in calls if (call.client, call.provider, call.method, call.purpose) not in granted]
    screen.claim(report.claim("all-granted", "each is one that a grant names, for that very purpose", [], beyond))
    asked = sorted(f"{call.method} of {call.provider.rpartition('/')[2]}" for call in calls if call.client != PORTAL)
    text = "registers asked each other in their own names, no more than a birth needs"
    screen.claim(report.claim("asked-in-own-name", text, sorted(_NEEDED), asked))
    recorded = {call.request_id.hex(): call for call in calls}
    told = [step.call for run in runs for step in run.steps if step.call.request_id]
    differ = [
        one.method
        for one in told
        if (found := recorded.get(one.request_id)) is None
        or (one.provider, one.purpose, one.status) != (found.provider, found.purpose, found.status)
        or one.receipt_sequence != found.outcome_sequence
        or (home / one.evidence / "receipt.bin").read_bytes() != found.receipt
    ]
    text = f"the {len(told)} calls that the portal told of are what the journals hold, receipts byte for byte"
    screen.claim(report.claim("told-as-journaled", text, [], differ))
