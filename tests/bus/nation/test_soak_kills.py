"""While births are registered, every process of a nation is killed, one after the other, then all at once: all comes
back, what was acknowledged is there, and no child is registered twice."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bus.exchange import load_client_config  # noqa: F401  # isort: skip - before gRPC

import grpc
import psycopg
import pytest
from vn.portal.v1 import portal_pb2
from vn.portal.v1.portal_pb2_grpc import PortalServiceStub

from adapters.administrative.table import load_table
from adapters.population.generate import DEFAULT_SEED
from adapters.portal.sample import Family, Kind, families
from bus.nation import places
from bus.nation.members import CIVIL_STATUS, HANOI, POPULATION, PROGRAMS, STORE
from bus.up.clock import now_ms
from bus.up.report import State, look
from tests.adapters.births import birth_fields
from tests.bus.nation.conftest import PEOPLE, LiveNation
from tests.support.joined import wait_until

pytestmark = pytest.mark.soak

SECONDS = 180.0
BUS = ("postgres", "broker", "ledger", "nation postgres")


def running(nation: LiveNation) -> dict[str, int]:
    """Every process, by its part; the supervisor's guardian, too."""
    parts = {one.part: one for one in look(nation.layout, now_ms())}
    found = {name: parts[name].facts["pid"] for name in (*BUS, *(one.path for one in PROGRAMS), "supervisor")}
    return {name: pid for name, pid in (found | {"guardian": parts["supervisor"].facts["guardian"]}).items() if pid}


def all_up(nation: LiveNation) -> bool:
    try:
        return all(one.state is State.UP for one in look(nation.layout, now_ms()))
    except OSError:
        return False


def is_back(nation: LiveNation, name: str, pid: int) -> bool:
    return all_up(nation) and running(nation).get(name) not in (None, pid)


class Registering(threading.Thread):
    """One birth after another, each sent again until it is acknowledged."""

    def __init__(self, nation: LiveNation) -> None:
        super().__init__(daemon=True)
        self._nation, self._ended = nation, threading.Event()
        self.acknowledged: list[str] = []
        self.sent_again = 0

    def run(self) -> None:
        known = [each for each in families(load_table(), DEFAULT_SEED, PEOPLE) if each.kind is Kind.GRANTED]
        while not self._ended.is_set():
            self._register(known[len(self.acknowledged) % len(known)])

    def went_on(self, since: int) -> bool:
        """Whether one was begun and acknowledged after there were `since`."""
        return len(self.acknowledged) > since + 1

    def end(self) -> None:
        self._ended.set()
        self.join(SECONDS)
        assert not self.is_alive()

    def _register(self, family: Family) -> None:
        request = portal_pb2.RegisterBirthRequest(**birth_fields(family), civil_status=CIVIL_STATUS)
        while not self._ended.is_set():
            if self._is_registered(request):
                self.acknowledged.append(request.birth_notice_number)
                return
            self.sent_again += 1
            self._ended.wait(0.2)

    def _is_registered(self, request: portal_pb2.RegisterBirthRequest) -> bool:
        """Whether the portal said so, whatever became of what follows."""
        socket = places.portal_socket(self._nation.layout)
        try:
            known = places.portal_metadata(socket)
            with places.portal_address(socket) as address, grpc.insecure_channel(address) as channel:
                first = next(PortalServiceStub(channel).RegisterBirth(request, timeout=60, metadata=known))
        except (grpc.RpcError, OSError):
            return False
        return bool(first.step.outcome == portal_pb2.STEP_OUTCOME_DONE)


@contextmanager
def registering(nation: LiveNation) -> Iterator[Registering]:
    found = Registering(nation)
    found.start()
    try:
        yield found
    finally:
        found.end()


def test_every_process_killed_in_turn_and_all_at_once_loses_and_doubles_no_birth(nation: LiveNation) -> None:
    before = rows(nation, POPULATION, "SELECT number FROM notice")
    with registering(nation) as births:
        for name in sorted(running(nation)):
            pid, done = running(nation)[name], len(births.acknowledged)
            os.kill(pid, signal.SIGKILL)
            wait_until(partial(is_back, nation, name, pid), name, SECONDS)
            wait_until(partial(births.went_on, done), f"a birth after the end of {name}", SECONDS)
        done, pids = len(births.acknowledged), running(nation)
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        nation.commands.run("up")  # who would have started it again is dead, too
        wait_until(lambda: all_up(nation), "everything", SECONDS)
        wait_until(partial(births.went_on, done), "a birth after the end of everything", SECONDS)
    assert births.sent_again > 0  # something was in the way now and then
    verify_books(nation, births.acknowledged, before)


def rows(nation: LiveNation, path: str, question: str) -> list[str]:
    with psycopg.connect((nation.home(path) / "database").read_text("utf-8").strip()) as connection:
        return sorted(row[0] for row in connection.execute(question.encode()).fetchall())


def verify_books(nation: LiveNation, acknowledged: list[str], before: list[str]) -> None:
    booked = rows(nation, CIVIL_STATUS, "SELECT notice FROM birth")
    assert set(acknowledged) <= set(booked)
    assert len(booked) == len(set(booked))
    assert not set(booked) & set(rows(nation, HANOI, "SELECT notice FROM birth"))
    entered = rows(nation, POPULATION, "SELECT number FROM notice")
    assert len(entered) == len(set(entered))
    assert set(entered) - set(before) >= set(acknowledged)
    people = rows(nation, POPULATION, "SELECT count(*)::text FROM person")
    assert int(people[0]) == PEOPLE + len(entered)  # a newborn for each notice, nobody else
    stored = "SELECT count(*)::text FROM record WHERE source = 'gov/moj/civil-status'"
    wait_until(lambda: int(rows(nation, STORE, stored)[0]) == len(booked), "every certificate in the store", SECONDS)
