"""Every part of an instance as its operator wants to know it: its state, since when, the facts, what happens next.

`look` gathers (files, the supervisor's socket, the database, at most some seconds); the functions behind it judge.
A part that is up needs nobody. STALE means that calls go on, by what was known last; DOWN that they do not, or that
nobody can change anything.
"""

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import psycopg
from cryptography import x509

from bus.edge.broker_file import load_broker_config
from bus.edge.snapshot_files import BROKER_SNAPSHOT, peek_header
from bus.edge.yaml_reader import YamlFileError
from bus.engines.supervisor import EngineError
from bus.up.broker import certificate_ends, renewal_time
from bus.up.control import ask_supervisor
from bus.up.database import registry_head
from bus.up.layout import Facts, Layout
from bus.up.process import supervisor_pid
from native.codec import CodecError
from native.headers import SnapshotHeader

__all__ = ["Part", "State", "iso", "look"]

_SETTLING_MS = 15_000
_OVERDUE_MS = 600_000


class State(StrEnum):
    """How a part is."""

    UP = "up"
    STARTING = "starting"
    STALE = "stale"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Part:
    """One line of the report; times are ISO 8601, UTC."""

    part: str
    state: State
    since: str | None
    facts: dict[str, Any]
    next: str


@dataclass(slots=True)
class _Found:
    """What `look` gathered."""

    facts: Facts
    pid: int | None
    told: dict[str, Any] = field(default_factory=dict)
    head: tuple[int, int] | None = None
    header: SnapshotHeader | None = None


def look(layout: Layout, now_ms: int) -> list[Part]:
    """All parts, in the order of their start; EngineError where no instance is."""
    found = _Found(layout.expect(), supervisor_pid(layout), ask_supervisor(layout) or {}, header=_header(layout))
    try:
        found.head = registry_head(layout)
    except (EngineError, OSError, psycopg.Error):
        found.head = None
    return [
        _supervisor(layout, found),
        _postgres(layout, found),
        _registry(found),
        _publisher(found, now_ms),
        _enrolment(found),
        _broker(layout, found, now_ms),
        _certificates(layout, found, now_ms),
    ]


def _supervisor(layout: Layout, found: _Found) -> Part:
    since = iso(found.told.get("since_ms"))
    facts = {"pid": found.pid, "log": str(layout.log)}
    if found.pid is None:
        return Part("supervisor", State.DOWN, None, facts, f"start it: govbus up --state {layout.state}")
    phase = found.told.get("phase", "starting")
    if phase != "running":
        return Part(
            "supervisor", State.STARTING, since, facts, f"it is {phase}; look again, or: govbus logs supervisor"
        )
    return Part("supervisor", State.UP, since, facts, "")


def _postgres(layout: Layout, found: _Found) -> Part:
    if layout.database_url.exists():
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
    if found.pid is None:
        return Part("postgres", State.DOWN, since, facts, "it starts with the supervisor")
    return Part("postgres", State.DOWN, since, facts, "it is started again by itself; why: govbus logs postgres")


def _registry(found: _Found) -> Part:
    if found.head is None:
        said = (
            "no change can be made; calls go on by the last policy" if found.pid else "it is there when PostgreSQL is"
        )
        return Part("registry", State.DOWN, None, {"position": None}, said)
    position, time_ms = found.head
    return Part("registry", State.UP, None, {"position": position, "last_event": iso(time_ms)}, "")


def _publisher(found: _Found, now_ms: int) -> Part:
    header = found.header
    if header is None:
        return Part("publisher", State.DOWN, None, {"version": 0}, "it publishes when the registry is there")
    behind = None if found.head is None else found.head[0] - header.log_position
    loud, refused = _ages(header)
    delay = None
    if found.head is not None and found.head[1] > found.told.get("since_ms", now_ms):
        delay = (found.told.get("publisher") or {}).get("delay_ms")  # else it was published for its age alone
    facts = {
        "version": header.version,
        "log_position": header.log_position,
        "events_behind": behind,
        "age_s": (now_ms - header.created_at_ms) // 1000,
        "delay_ms": delay,
    }
    since = iso(header.created_at_ms)
    goes_on = f"calls go on by version {header.version}; it is loud at {loud} and refuses from {refused}"
    if found.pid is None:
        return Part("publisher", State.DOWN, since, facts, "it follows the registry when the supervisor runs")
    if behind is None:
        return Part("publisher", State.STALE, since, facts, goes_on)
    if behind > 0 and found.head is not None and now_ms - found.head[1] > _SETTLING_MS:
        return Part("publisher", State.STALE, since, facts, f"why: govbus logs publisher; {goes_on}")
    return Part("publisher", State.UP, since, facts, "")


def _enrolment(found: _Found) -> Part:
    listen = found.told.get("enrolment")
    if listen is None:
        return Part("enrolment", State.DOWN, None, {}, "it starts with the supervisor")
    facts, since = {"listen": listen}, iso(found.told.get("since_ms"))
    if found.head is None:
        return Part("enrolment", State.STALE, since, facts, "nobody can enrol until the registry is there")
    return Part("enrolment", State.UP, since, facts, "")


def _broker(layout: Layout, found: _Found, now_ms: int) -> Part:
    told, header = found.told.get("broker") or {}, found.header
    home = layout.broker_home(found.facts.broker)
    journal = home / "journal"
    segments = [path.stat().st_size for path in journal.iterdir() if path.is_file()] if journal.is_dir() else []
    facts: dict[str, Any] = {
        "path": found.facts.broker,
        "listen": _listen(layout, found.facts),
        "pid": told.get("pid"),
        "starts": told.get("starts", 0),
        "policy_version": told.get("in_force"),
        "policy_age_s": None if header is None else (now_ms - header.created_at_ms) // 1000,
        "journal": {
            "files": len(segments),
            "bytes": sum(segments),
            "free_bytes": shutil.disk_usage(home).free if home.is_dir() else None,
        },
        "calls": {name: value for name, value in (told.get("calls") or {}).items() if value},
    }
    since = iso(told.get("since_ms"))
    if not told.get("pid"):
        said = "it starts with the supervisor" if found.pid is None else "it is started again; why: govbus logs broker"
        return Part("broker", State.DOWN, since, facts, said)
    if header is not None and told.get("in_force", 0) < header.version and facts["policy_age_s"] * 1000 > _SETTLING_MS:
        return Part("broker", State.STALE, since, facts, "it has not taken the newest policy; why: govbus logs broker")
    if header is not None and now_ms > header.created_at_ms + header.alarm_after_ms:
        return Part(
            "broker", State.STALE, since, facts, f"its policy is old; it refuses all calls from {_ages(header)[1]}"
        )
    return Part("broker", State.UP, since, facts, "")


def _certificates(layout: Layout, found: _Found, now_ms: int) -> Part:
    home = layout.broker_home(found.facts.broker)
    try:
        ends, renewal = certificate_ends(home), renewal_time(home)
        issuing = x509.load_pem_x509_certificate((layout.state / "authority" / "issuing.pem").read_bytes())
        root = x509.load_pem_x509_certificate((layout.state / "authority" / "root.pem").read_bytes())
    except (OSError, ValueError) as error:
        return Part(
            "certificates", State.DOWN, None, {}, f"they cannot be read ({type(error).__name__}): govbus doctor"
        )
    facts = {
        "broker_ends": _time(ends),
        "broker_renewed_at": _time(renewal),
        "issuing_ca_ends": _time(issuing.not_valid_after_utc),
        "root_ends": _time(root.not_valid_after_utc),
    }
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    if now > ends:
        return Part("certificates", State.DOWN, _time(ends), facts, "a start renews it: govbus down, then govbus up")
    if (now - renewal).total_seconds() * 1000 > _OVERDUE_MS:
        return Part(
            "certificates", State.STALE, _time(renewal), facts, "renewal is overdue; why: govbus logs supervisor"
        )
    return Part("certificates", State.UP, None, facts, "")


def _header(layout: Layout) -> SnapshotHeader | None:
    try:
        return peek_header((layout.state / "snapshots" / BROKER_SNAPSHOT).read_bytes())
    except (FileNotFoundError, CodecError):
        return None


def _listen(layout: Layout, facts: Facts) -> str | None:
    try:
        return str(load_broker_config(layout.broker_home(facts.broker)).listen)
    except (OSError, YamlFileError):
        return None


def _ages(header: SnapshotHeader) -> tuple[str | None, str | None]:
    return iso(header.created_at_ms + header.alarm_after_ms), iso(header.created_at_ms + header.refuse_after_ms)


def iso(time_ms: int | None) -> str | None:
    """`2026-11-21T23:59:59Z`, None for no time."""
    return _time(datetime.fromtimestamp(time_ms / 1000, UTC)) if time_ms else None


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
