"""The nation's parts, for bus.up.report: all of it, the ministries' PostgreSQL, each member."""

from typing import Any

from bus.nation.behind import Apart
from bus.nation.settled import settled
from bus.up.memory import Processes
from bus.up.report_parts import ALONE, Found, Part, State, iso

__all__ = ["nation"]

_ON_START = "it starts with the supervisor"
_LESS: dict[str, str] = {
    Apart.LANDLOCK: "a member may connect to others' sockets and change modes: no mounts of its own here; why: govbus"
    " logs supervisor",
    Apart.NOTHING: "this kernel has no Landlock: members are apart by passwords and homes only",
}
"""What is said of each that is less than all."""
_PORTS_OPEN = (
    "a member may listen at any TCP port and connect to any: this kernel cannot refuse it (Landlock, Linux 6.7)"
)


def nation(found: Found) -> list[Part]:
    """No part where there is no nation."""
    known = settled(found.layout)
    if known is None:
        return []
    told: dict[str, Any] = found.told.get("nation") or {}
    processes = Processes()
    server = _server(found, told, processes)
    members = [_member(found, path, one, processes) for path, one in (told.get("members") or {}).items()]
    serving = sum(one.state is State.UP for one in members)
    facts = {
        "people": known.people,
        "fenced": told.get("apart"),
        "ports_kept": told.get("ports_kept"),
        "members": f"{serving}/{len(members)}",
        "memory_mib": processes.mib(found.pid, *found.left.values()),
    }
    since = iso(found.told.get("since_ms"))
    left = sum(name.startswith("member-") for name in found.left)
    if not members and left:
        return [Part("nation", State.STALE, None, facts | {"members": left}, f"each member: {ALONE}")]
    if not members:
        return [Part("nation", State.DOWN, None, facts, _ON_START)]
    state = State.UP if serving == len(members) else State.STARTING
    less = (_LESS.get(told.get("apart", ""), ""), "" if told.get("ports_kept", True) else _PORTS_OPEN)
    said = "; ".join(filter(None, less))
    if state is not State.UP:
        said = "each member says below what it waits for"
    return [Part("nation", state, since, facts, said), server, *members]


def _server(found: Found, told: dict[str, Any], processes: Processes) -> Part:
    seen = told.get("postgres") or {}
    facts = {"pid": seen.get("pid"), "starts": seen.get("starts", 0), "memory_mib": processes.mib(seen.get("pid"))}
    since = iso(seen.get("since_ms"))
    if seen.get("pid"):
        return Part("nation postgres", State.UP, since, facts, "")
    said = told.get("server_waits") or "it is started again by itself; members answer UNAVAILABLE until then"
    return Part("nation postgres", State.DOWN, since, facts, f"{said}; why: govbus logs nation")


def _member(found: Found, path: str, told: dict[str, Any], processes: Processes) -> Part:
    pid = told.get("pid")
    facts = {
        "pid": pid,
        "starts": told.get("starts", 0),
        "serves": told.get("serves") or None,
        "memory_mib": processes.mib(pid),
    }
    since, starts_ms = iso(told.get("since_ms")), told.get("key_starts_ms", 0)
    if told.get("waits"):
        return Part(path, State.DOWN, since, facts, f"tried again by itself; what is in the way: {told['waits']}")
    if pid is None:
        state = State.STARTING if facts["starts"] <= 1 else State.DOWN
        return Part(path, state, since, facts, f"it is started by itself; why it takes long: govbus logs {path}")
    if starts_ms > found.now_ms:
        return Part(path, State.STARTING, since, facts, f"its new signing key starts at {iso(starts_ms)}")
    return Part(path, State.UP, since, facts, "")
