"""What a person reads of a part: few facts, with units, and what is wrong before what is right."""

from datetime import UTC, datetime

import pytest

from bus.cli.status_text import age_text, all_facts, brief
from bus.up.report import Part, State

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "facts", "said"),
    [
        ("supervisor", {"pid": 7, "restarts": 1}, "process 7, 1 restart"),
        ("registry", {"position": 1, "last_event": "2026-11-22T07:00:00Z"}, "1 event, the newest 60 min ago"),
        ("registry", {"position": None}, ""),
        ("publisher", {"version": 3, "age_s": 11, "events_behind": 2}, "policy version 3, 11 s old, 2 events behind"),
        ("broker gov/ndc/b2", {"listen": "h:1", "journal": {"full_in_days": 3}}, "on h:1, the disk is full in 3 days"),
        ("ledger", {"entries": 1200, "checkpoint_age_s": 9, "records_behind": 0}, "1,200 entries, checkpoint 9 s old"),
        ("gov/mps/population", {"serves": "port 1", "memory_mib": 9, "starts": 3}, "on port 1, 9 MiB, started 3 times"),
        ("gov/moj/portal", {"serves": "socket /s/portal.sock"}, "on socket portal.sock"),
        ("something new", {"one": 1, "two": None, "three": {"a": 1}}, "one 1, three a 1"),
    ],
)
def test_a_part_in_a_line(name: str, facts: dict[str, object], said: str) -> None:
    assert brief(Part(name, State.UP, None, facts, ""), NOW, "/s").startswith(said)


def test_every_fact_is_there_for_who_asks() -> None:
    part = Part("x", State.UP, "2026-11-22T07:00:00Z", {"pid": 7, "no": None, "calls": {"a": 1, "b": 2}}, "")
    assert all_facts(part) == ["since: 2026-11-22T07:00:00Z", "pid: 7", "calls: a 1, b 2"]
    counted = {"govbus.calls.outcome.done": 5, "govbus.refusals.reason.no_grant": 1}
    assert all_facts(Part("x", State.UP, None, {"calls": counted}, "")) == ["calls: done 5, refusals no_grant 1"]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 days")],
)
def test_a_duration_as_people_say_it(seconds: int, said: str) -> None:
    assert age_text(seconds) == said
