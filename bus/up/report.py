"""Every part of an instance as its operator wants to know it: its state, since when, the facts, what happens next.

`look` gathers (files, the processes' sockets, the database, at most some seconds); the functions behind it judge. A
part that is up needs nobody. STALE means that calls go on, by what was known last; DOWN that they do not, or that
nobody can change anything.
"""

import psycopg

from bus.edge.snapshot_files import BROKER_SNAPSHOT, peek_header
from bus.engines.records import Records
from bus.engines.supervisor import EngineError
from bus.up.clock import clock_fault
from bus.up.control import ask, ask_supervisor
from bus.up.database import registry_head
from bus.up.layout import Layout
from bus.up.process import guardian_pid, supervisor_pid
from bus.up.report_ledger import ledger
from bus.up.report_nation import nation
from bus.up.report_parts import ALONE, ENDING, Found, Part, State, iso
from bus.up.report_serving import brokers, certificates
from native.codec import CodecError
from native.headers import SnapshotHeader

__all__ = ["Part", "State", "iso", "look"]

_SETTLING_MS = 15_000
_ON_START = "it starts with the supervisor"


def look(layout: Layout, now_ms: int) -> list[Part]:
    """All parts, in the order of their start; EngineError where no instance is."""
    found = Found(layout, layout.expect(), now_ms, supervisor_pid(layout))
    found.left = Records(layout.engines).pids(ready=True)
    found.told, found.ledger = ask_supervisor(layout) or {}, ask(layout.ledger_writer)
    found.header = _header(layout)
    try:
        found.head = registry_head(layout)
    except (EngineError, OSError, psycopg.Error):
        found.head = None
    return [
        _supervisor(found),
        _postgres(found),
        _registry(found),
        _publisher(found),
        _enrolment(found),
        *brokers(found),
        ledger(found),
        certificates(found),
        *nation(found),
    ]


def _supervisor(found: Found) -> Part:
    since = iso(found.told.get("since_ms"))
    guardian = guardian_pid(found.layout)
    facts = {"pid": found.pid, "guardian": guardian, "restarts": found.told.get("restarts")}
    facts["phase"] = found.told.get("phase")
    facts["log"] = str(found.layout.log)
    if found.pid is None and guardian is not None:
        said = f"process {guardian} starts it again, within 30 s; why: govbus logs supervisor"
        return Part("supervisor", State.STARTING, None, facts, said)
    if found.pid is None:
        said = f"start it: govbus up --state {found.layout.state}"
        if found.left:
            said += f"; {len(found.left)} processes go on without it and are found by it, or ended by govbus down"
        return Part("supervisor", State.DOWN, None, facts, said)
    phase = found.told.get("phase", "starting")
    if phase == ENDING:
        said = "it is being ended: what follows ends or has ended; govbus down waits for that, then govbus up starts it"
        return Part("supervisor", State.STARTING, since, facts, said)
    if phase != "running":
        said = f"it is {phase}; look again, or: govbus logs supervisor"
        return Part("supervisor", State.STARTING, since, facts, said)
    return Part("supervisor", State.UP, since, facts, "")


def _postgres(found: Found) -> Part:
    if found.layout.database_url.exists():
        state = State.DOWN if found.head is None else State.UP
        said = "" if state == State.UP else "its owner must start it; calls go on by the last policy"
        return Part("postgres", state, None, {"server": "behind --database-url"}, said)
    told = found.told.get("postgres") or {}
    facts = {"pid": told.get("pid"), "version": told.get("version"), "starts": told.get("starts", 0)}
    since = iso(told.get("since_ms"))
    if told.get("pid"):
        if found.head is None:
            said = (
                f"its process is there and does not answer; why: govbus logs postgres; kill {told['pid']} restarts it"
            )
            return Part("postgres", State.STALE, since, facts, said)
        return Part("postgres", State.UP, since, facts, "")
    if (left := found.left.get("postgres")) and found.head is not None:
        return Part("postgres", State.STALE, since, facts | {"pid": left}, ALONE)
    if found.pid is None:
        return Part("postgres", State.DOWN, since, facts, _ON_START)
    return Part("postgres", State.DOWN, since, facts, "it is started again by itself; why: govbus logs postgres")


def _registry(found: Found) -> Part:
    waiting = found.told.get("waiting")
    if waiting is not None:
        said = f"tried again every 5 s, calls go on by the last policy; it waits for: {waiting['why']}"
        return Part("registry", State.DOWN, iso(waiting["since_ms"]), {"position": None}, said)
    if found.head is None:
        said = (
            "no change can be made; calls go on by the last policy" if found.pid else "it is there when PostgreSQL is"
        )
        return Part("registry", State.DOWN, None, {"position": None}, said)
    position, time_ms = found.head
    if fault := clock_fault(found.told, time_ms):
        said = f"nothing is recorded: {fault[0]}; {fault[1]}"
        return Part("registry", State.STALE, None, {"position": position, "last_event": iso(time_ms)}, said)
    return Part("registry", State.UP, None, {"position": position, "last_event": iso(time_ms)}, "")


def _publisher(found: Found) -> Part:
    header = found.header
    if header is None:
        return Part("publisher", State.DOWN, None, {"version": 0}, "it publishes when the registry is there")
    behind = None if found.head is None else found.head[0] - header.log_position
    loud, refused = found.ages
    delay = None
    if found.head is not None and found.head[1] > found.told.get("since_ms", found.now_ms):
        delay = (found.told.get("publisher") or {}).get("delay_ms")  # else it was published for its age alone
    facts = {
        "version": header.version,
        "log_position": header.log_position,
        "events_behind": behind,
        "age_s": (found.now_ms - header.created_at_ms) // 1000,
        "delay_ms": delay,
    }
    since = iso(header.created_at_ms)
    goes_on = f"calls go on by version {header.version}; it is loud at {loud} and refuses from {refused}"
    if found.pid is None:
        return Part("publisher", State.DOWN, since, facts, "it follows the registry when the supervisor runs")
    if behind is None or found.told.get("waiting") is not None:
        return Part("publisher", State.STALE, since, facts, goes_on)
    if behind > 0 and found.head is not None and found.now_ms - found.head[1] > _SETTLING_MS:
        return Part("publisher", State.STALE, since, facts, f"why: govbus logs publisher; {goes_on}")
    return Part("publisher", State.UP, since, facts, "")


def _enrolment(found: Found) -> Part:
    listen = found.told.get("enrolment")
    if listen is None:
        said = _ON_START if found.told.get("waiting") is None else "it listens when the registry is there"
        return Part("enrolment", State.DOWN, None, {}, said)
    facts, since = {"listen": listen}, iso(found.told.get("since_ms"))
    if found.head is None:
        return Part("enrolment", State.STALE, since, facts, "nobody can enrol until the registry is there")
    return Part("enrolment", State.UP, since, facts, "")


def _header(layout: Layout) -> SnapshotHeader | None:
    try:
        return peek_header((layout.state / "snapshots" / BROKER_SNAPSHOT).read_bytes())
    except (FileNotFoundError, CodecError):
        return None
