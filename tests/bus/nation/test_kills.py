"""Whatever of a nation is killed comes back by itself, and calls succeed again."""

import os
import signal
from typing import Any

from bus.nation.members import CIVIL_STATUS, GRANTS, HANOI, POPULATION, UNITS
from bus.up.clock import now_ms
from bus.up.process import supervisor_pid
from bus.up.report import State, look
from tests.bus.nation.conftest import PEOPLE, LiveNation
from tests.support.joined import wait_until

SECONDS = 60.0


def parts(nation: LiveNation) -> dict[str, Any]:
    return {one.part: one for one in look(nation.layout, now_ms())}


def all_up(nation: LiveNation) -> bool:
    return all(one.state is State.UP for one in parts(nation).values())


def test_nation_is_told_member_by_member_with_its_memory(nation: LiveNation) -> None:
    found = parts(nation)
    assert {name: str(one.state) for name, one in found.items() if one.state is not State.UP} == {}
    assert found["nation"].facts["people"] == PEOPLE
    assert 100 < found["nation"].facts["memory_mib"] < 1500
    assert found[UNITS].facts["serves"].startswith("port ")
    assert found[UNITS].facts["memory_mib"] > 10
    logged = nation.commands.json("logs", UNITS)
    assert any("serving on" in one["line"] for one in logged)
    assert "there is no part gov/mps/none" in nation.commands.refused("logs", "gov/mps/none")


def test_birth_by_the_portal_replaces_every_paper(nation: LiveNation) -> None:
    """At the ministry's civil status and at the province's: every member does its part, by the table's grants."""
    assert [nation.register_birth(path) for path in (CIVIL_STATUS, HANOI)] == [6, 6]


def test_portal_that_asks_where_people_live_is_stopped_at_its_daily_limit(nation: LiveNation) -> None:
    grant = next(one for one in nation.commands.json("grant", "list") if one["grant_id"] == "residence-portal")
    daily = next(row.calls_per_day for row in GRANTS if row.grant_id == "residence-portal")
    assert grant["calls_per_day"] == daily
    quota = ("grant", "quota", "residence-portal", "--reason", "test", "--calls-per-day")
    nation.commands.run(*quota, 1)
    nation.residence()  # the day's first, if nobody asked before
    assert nation.residence() == "StatusCode.RESOURCE_EXHAUSTED QUOTA_EXCEEDED"
    nation.commands.run(*quota, daily)
    assert nation.residence() == "answered"


def test_calls_go_on_while_the_bus_own_database_is_dead(nation: LiveNation) -> None:
    """Each has its own server: the bus's may be killed, and nobody who is asked notices."""
    pid = parts(nation)["postgres"].facts["pid"]
    os.kill(pid, signal.SIGKILL)
    assert nation.resolve() == nation.person() == "answered"
    wait_until(lambda: all_up(nation), "everything", SECONDS)


def test_supervisor_killed_takes_nothing_with_it_and_no_call_fails(nation: LiveNation) -> None:
    """Members, their database and the broker are the same processes afterwards; whoever asks notices nothing."""
    before, broker, killed = nation.pids(), parts(nation)["broker"].facts["pid"], supervisor_pid(nation.layout)
    os.kill(killed or 0, signal.SIGKILL)
    asked = list[str]()

    def back() -> bool:
        asked.extend((nation.resolve(), nation.person()))
        return supervisor_pid(nation.layout) not in (None, killed) and all_up(nation)

    wait_until(back, "everything", SECONDS)
    assert set(asked) == {"answered"}
    assert nation.pids() == before
    assert parts(nation)["broker"].facts["pid"] == broker
    assert parts(nation)[UNITS].facts["serves"].startswith("port ")


def test_ministries_server_killed_takes_no_member_with_it(nation: LiveNation) -> None:
    before = nation.pids()
    os.kill(before["postgres"], signal.SIGKILL)
    wait_until(lambda: nation.person() == "answered" and all_up(nation), "the population's register", SECONDS)
    after = nation.pids()
    assert after.pop("postgres") != before.pop("postgres")
    assert after == before
    assert after[POPULATION] is not None


def test_everything_killed_at_once_is_started_again(nation: LiveNation) -> None:
    before, found = nation.pids(), parts(nation)
    for pid in (*before.values(), *(found[name].facts["pid"] for name in ("postgres", "broker", "ledger"))):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all_up(nation) and not set(nation.pids().values()) & set(before.values()), "everything", SECONDS)
    wait_until(nation.answers, "calls that succeed again", SECONDS)


def test_nation_is_remembered_with_its_people(nation: LiveNation) -> None:
    nation.commands.run("down")
    refused = nation.commands.refused("up", "--nation", "--people", PEOPLE + 1)
    assert f"has {PEOPLE} people" in refused
    assert "--wipe" in refused
    keys = {path: (nation.home(path) / "signing-public.pem").read_bytes() for path in (UNITS, POPULATION)}
    found = nation.commands.json("up", "--people", PEOPLE)
    assert found["nation"] == {"people": PEOPLE, "members": len(nation.told()["members"]), "waiting": {}}
    assert {path: (nation.home(path) / "signing-public.pem").read_bytes() for path in keys} == keys
    assert nation.answers()
