"""The ledger, for bus.up.report: how far it is behind what was acknowledged, and what stands in its way."""

from typing import Any

from bus.up.report_parts import Found, Part, State, iso

__all__ = ["ledger"]

_BEHIND_MS = 10_000


def ledger(found: Found) -> Part:
    """Calls go on without it: what it has not integrated stands in the journals."""
    seen, told = found.told.get("ledger") or {}, found.ledger
    checkpoint = found.layout.ledger / "checkpoint"
    size, age_s = None, None
    if checkpoint.exists():
        size = _size(checkpoint.read_bytes())
        age_s = max(0, found.now_ms // 1000 - int(checkpoint.stat().st_mtime))
    facts: dict[str, Any] = {
        "pid": seen.get("pid"),
        "starts": seen.get("starts", 0),
        "entries": size,
        "checkpoint_age_s": age_s,
        "records_behind": None if told is None else told.get("behind"),
        "lag_s": None,
        "serving": None if told is None else told["serving"],
    }
    since = iso((told or seen).get("since_ms"))
    if told is None:
        said = (
            "it starts with the supervisor"
            if found.pid is None
            else "it is started again, calls go on and are entered then; why: govbus logs ledger"
        )
        return Part("ledger", State.DOWN, since, facts, said)
    if told["halted"]:
        return Part(
            "ledger", State.DOWN, since, facts, f"calls go on, journals keep them; it stands still: {told['halted']}"
        )
    if "size" not in told:
        return Part("ledger", State.STARTING, since, facts, "it opens its log; look again")
    lag_ms = told["lag_ms"]
    facts["lag_s"] = None if lag_ms is None else round(lag_ms / 1000, 1)
    errors = [f"{name}: {one['error']}" for name, one in told["sources"].items() if one["error"]]
    if errors:
        said = f"the rest is integrated, this is tried again and again: {'; '.join(errors)}"
        return Part("ledger", State.STALE, since, facts, said)
    if lag_ms is None or lag_ms > _BEHIND_MS:
        return Part("ledger", State.STALE, since, facts, f"it catches up: {told['behind']} records to go")
    return Part("ledger", State.UP, since, facts, "")


def _size(note: bytes) -> int | None:
    """The second line of the checkpoint, as it stands there."""
    lines = note.split(b"\n")
    return int(lines[1]) if len(lines) > 2 and lines[1].isdigit() else None
