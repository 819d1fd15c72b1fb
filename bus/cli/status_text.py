"""What a person is told of each part in a line: the two or three facts that matter, with their units.

The names of facts are those of `govbus status --json` (bus.up.report); a part that is not known here tells all it has.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from bus.up.report import Part

__all__ = ["age_text", "all_facts", "brief"]

Facts = Mapping[str, Any]


def brief(part: Part, now: datetime, state: str) -> str:
    """One line; paths below the directory `state` without it. Empty where nothing is known."""
    facts = {name: _short(value, state) for name, value in part.facts.items()}
    told = _KINDS.get(_kind(part.part), _anything)(facts, now)
    return ", ".join(one for one in told if one)


def all_facts(part: Part) -> list[str]:
    """Everything that is known, a line each."""
    known = {"since": part.since} | part.facts
    known["calls"] = {_counter(name): each for name, each in (known.get("calls") or {}).items()}
    return [f"{name}: {_whole(value)}" for name, value in known.items() if value not in (None, {}, "")]


def age_text(seconds: float) -> str:
    """`11 s`, `5 min`, `3 h`, `2 days`: a duration as people say it."""
    for unit, size in (("days", 86_400 * 2), ("h", 3_600 * 2), ("min", 120)):
        if seconds >= size:
            return f"{seconds // (size // 2):.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def _supervisor(facts: Facts, _: datetime) -> list[str]:
    return [_named(facts, "process", "pid"), _counted(facts.get("restarts"), "restart")]


def _postgres(facts: Facts, _: datetime) -> list[str]:
    return [facts.get("server") or _named(facts, "version", "version"), _named(facts, "process", "pid"), _again(facts)]


def _registry(facts: Facts, now: datetime) -> list[str]:
    return [_counted(facts.get("position"), "event"), _ago("the newest", facts.get("last_event"), now)]


def _publisher(facts: Facts, _: datetime) -> list[str]:
    behind = facts.get("events_behind")
    late = "" if behind is None else f"{_counted(behind, 'event')} behind" if behind else "nothing behind"
    return [_named(facts, "policy version", "version"), _old(facts.get("age_s")), late]


def _enrolment(facts: Facts, _: datetime) -> list[str]:
    return [_named(facts, "on", "listen")]


def _broker(facts: Facts, _: datetime) -> list[str]:
    days = (facts.get("journal") or {}).get("full_in_days")
    return [
        _named(facts, "on", "listen"),
        _named(facts, "policy version", "policy_version"),
        "" if days is None else f"the disk is full in {_counted(days, 'day')}",
        _again(facts),
    ]


def _ledger(facts: Facts, _: datetime) -> list[str]:
    behind = facts.get("records_behind")
    late = "" if behind is None else f"{_counted(behind, 'record')} behind" if behind else "nothing behind"
    age = facts.get("checkpoint_age_s")
    signed = "" if age is None else f"checkpoint {age_text(age)} old"
    return [_counted(facts.get("entries"), "entr(y)"), signed, late, _again(facts)]


def _certificates(facts: Facts, _: datetime) -> list[str]:
    root = facts.get("root_ends")
    return [_named(facts, "next renewal", "broker_renews_at"), f"the root ends {root[:10]}" if root else ""]


def _nation(facts: Facts, _: datetime) -> list[str]:
    people, members = facts.get("people"), facts.get("members")
    return [
        f"{members} members" if members not in (None, "0/0") else "",
        "" if people is None else f"{people:,} people",
        _memory(facts, " in all"),
        _named(facts, "fenced by", "fenced"),
    ]


def _nation_postgres(facts: Facts, _: datetime) -> list[str]:
    return [_named(facts, "process", "pid"), _memory(facts), _again(facts)]


def _member(facts: Facts, _: datetime) -> list[str]:
    return [_named(facts, "on", "serves"), _memory(facts), _again(facts)]


def _anything(facts: Facts, _: datetime) -> list[str]:
    return [f"{name} {_whole(value)}" for name, value in facts.items() if value not in (None, {}, "")]


_KINDS: Final[Mapping[str, Callable[[Facts, datetime], list[str]]]] = {
    "supervisor": _supervisor,
    "postgres": _postgres,
    "registry": _registry,
    "publisher": _publisher,
    "enrolment": _enrolment,
    "broker": _broker,
    "ledger": _ledger,
    "certificates": _certificates,
    "nation": _nation,
    "nation postgres": _nation_postgres,
    "member": _member,
}


def _kind(name: str) -> str:
    """`broker gov/ndc/broker-2` is a broker; a bare path is a member of the nation."""
    word, _, rest = name.partition(" ")
    if "/" in word:
        return "member"
    return word if "/" in rest else name


def _named(facts: Facts, words: str, name: str) -> str:
    value = facts.get(name)
    return f"{words} {value}" if value not in (None, "") else ""


def _counted(count: int | None, what: str) -> str:
    """`1 event`, `2 events`; an `entr(y)` is one entry of several entries."""
    if count is None:
        return ""
    one, many = (what.replace("(y)", "y"), what.replace("(y)", "ies")) if "(y)" in what else (what, f"{what}s")
    return f"{count:,} {one if count == 1 else many}"


def _again(facts: Facts) -> str:
    starts = facts.get("starts") or 0
    return f"started {starts} times" if starts > 1 else ""


def _memory(facts: Facts, where: str = "") -> str:
    return f"{facts['memory_mib']} MiB{where}" if facts.get("memory_mib") else ""


def _old(seconds: int | None) -> str:
    return "" if seconds is None else f"{age_text(seconds)} old"


def _ago(words: str, time: str | None, now: datetime) -> str:
    if not time:
        return ""
    return f"{words} {age_text((now - datetime.fromisoformat(time).astimezone(UTC)).total_seconds())} ago"


def _short(value: Any, state: str) -> Any:
    return value.replace(f"{state}/", "") if isinstance(value, str) else value


def _counter(name: str) -> str:
    """`done` for govbus.calls.outcome.done, `refusals no_grant` for govbus.refusals.reason.no_grant."""
    words = name.removeprefix("govbus.").removeprefix("calls.outcome.").replace(".reason.", " ")
    return words.replace(".", " ")


def _whole(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items() if each is not None)
    return str(value)
