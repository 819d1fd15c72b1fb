"""bus.up.doctor's look at what proof rests on: the ledger, the journals' room, the policy's age, signing keys' ends."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from bus.edge.snapshot_files import BROKER_SNAPSHOT, peek_header
from bus.ledger.checkpoint import CheckpointInvalid, SignedCheckpoint, verify_checkpoint
from bus.ledger.keys import load_verifier
from bus.ledger.note import NoteVerifier
from bus.ledger.storage import KEY_FILE
from bus.up.control import ask, ask_supervisor
from bus.up.findings import Finding, Level
from bus.up.journals import journal_use
from bus.up.layout import Layout
from bus.up.report_parts import iso
from native.codec import CodecError

__all__ = ["journals", "keys", "ledger", "policy"]

_LAG_MS: Final = 60_000
_DAYS: Final = 14
_KEY_SOON_MS: Final = 29 * 86_400_000
_MENDING: Final = (
    "keep ledger/ and ledger-writer/ as they are, and bring back the newest copy of ledger/; without one, see"
    " docs/operations.md, When the ledger stands still"
)


def ledger(layout: Layout, running: bool) -> Iterator[Finding]:
    """Whether it is what was signed, and follows."""
    told = ask(layout.ledger_writer) if running else None
    if told is not None and told["halted"]:
        yield Finding("ledger", Level.WRONG, f"it stands still: {told['halted']}", _MENDING)
    elif told is not None:
        yield _following(told)
    elif running:
        said = "why: govbus logs ledger; it is started again by itself, calls go on"
        yield Finding("ledger", Level.WRONG, "its process does not answer", said)
    else:
        yield _resting(layout)


def _following(told: dict[str, Any]) -> Finding:
    errors = [f"{name}: {one['error']}" for name, one in told.get("sources", {}).items() if one["error"]]
    lag_ms = told.get("lag_ms")
    if errors:
        return Finding("ledger", Level.WARNING, "; ".join(errors), "it is asked again by itself; why: govbus status")
    if lag_ms is not None and lag_ms > _LAG_MS:
        text = f"it is {lag_ms // 1000} s behind, {told['behind']} records"
        return Finding("ledger", Level.WARNING, text, "it catches up by itself; if it grows: is the disk fast enough?")
    return Finding("ledger", Level.OK, f"{told.get('size', 0)} entries, follows every source")


def _resting(layout: Layout) -> Finding:
    """Its published checkpoint beside the newest that it ever signed."""
    if not layout.ledger_writer.exists():
        return Finding("ledger", Level.OK, "none has begun yet")
    try:
        key = load_verifier(layout.ledger / KEY_FILE)
        published = _checkpoint(layout.ledger / "checkpoint", key)
        known = _checkpoint(layout.ledger_writer / "checkpoint", key)
    except FileNotFoundError as error:
        if not (layout.ledger_writer / "checkpoint").exists():
            return Finding("ledger", Level.OK, "it has signed nothing yet")
        return Finding("ledger", Level.WRONG, f"{error.filename} is gone, and a checkpoint was signed", _MENDING)
    except (OSError, ValueError, CheckpointInvalid) as error:
        return Finding("ledger", Level.WRONG, f"{error}", _MENDING)
    if known.size > published.size or (known.size == published.size and known.root != published.root):
        text = f"it ends at {published.size} entries, and {known.size} were signed: it was set back or replaced"
        return Finding("ledger", Level.WRONG, text, _MENDING)
    return Finding("ledger", Level.OK, f"{published.size} entries, none less than were signed")


def _checkpoint(path: Path, key: NoteVerifier) -> SignedCheckpoint:
    return verify_checkpoint(path.read_bytes(), key)


def journals(layout: Layout) -> Iterator[Finding]:
    """What they take, and for how long there is room."""
    for path in layout.broker_paths(layout.expect()):
        journal = layout.broker_home(path) / "journal"
        use = journal_use(journal)
        days = use.days_left(shutil.disk_usage(layout.state).free)
        text = f"{path}: {use.bytes >> 20} MiB in {use.files} segments"
        if days is not None and days < _DAYS:
            said = "give it a larger disk in time: without room for its journal a broker refuses all calls"
            yield Finding("journals", Level.WARNING, f"{text}; the disk is full in about {days} days", said)
        else:
            yield Finding("journals", Level.OK, text)


def policy(layout: Layout, running: bool) -> Iterator[Finding]:
    """How old the published policy is."""
    try:
        header = peek_header((layout.state / "snapshots" / BROKER_SNAPSHOT).read_bytes())
    except (OSError, CodecError):
        return
    age_ms = time.time_ns() // 1_000_000 - header.created_at_ms
    refused = iso(header.created_at_ms + header.refuse_after_ms)
    text = f"policy version {header.version} is {age_ms // 60_000} min old"
    if running and age_ms > header.alarm_after_ms // 2:
        level = Level.WRONG if age_ms > header.alarm_after_ms else Level.WARNING
        yield Finding("policy", level, f"{text}; calls are refused from {refused}", "why: govbus logs publisher")
    else:
        yield Finding("policy", Level.OK, text)


def keys(layout: Layout) -> Iterator[Finding]:
    """The signing keys that the supervisor replaces by itself, 30 days before their end."""
    told = ask_supervisor(layout)
    if told is None:
        return
    ends = {path: one.get("key_ends_ms") for path, one in (told.get("brokers") or {}).items()}
    for path, end_ms in sorted((ends | (told.get("key_ends_ms") or {})).items()):
        if end_ms is None:
            continue
        text = f"the signing key of {path} ends {iso(end_ms)}"
        if end_ms - time.time_ns() // 1_000_000 < _KEY_SOON_MS:
            said = "it was to be replaced by itself; why not: govbus logs supervisor"
            yield Finding("keys", Level.WARNING, text, said)
        else:
            yield Finding("keys", Level.OK, text)
