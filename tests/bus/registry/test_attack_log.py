"""The log against a database that is set back or edited under running processes, and against its own readers."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bus.engines.postgres_database import Database, DatabaseUnavailable
from bus.registry.event import Event, LogBroken, StoredEvent, store_event
from bus.registry.grants import GrantRevoked
from bus.registry.registry import Registry
from bus.registry.store import Appender, EventStore
from bus.registry.subsystems import SubsystemSuspended
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, CIVIL, POPULATION

TABLES = ("registry_key", "registry_event")


def set_back(registry: Registry, database: Database) -> None:
    """As a restored backup would: the newest event is gone."""
    (last,) = registry.record([SubsystemSuspended(CIVIL)], ACT)
    with database.connect() as connection:
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        connection.execute("DELETE FROM registry_event WHERE position = %s", (last.position,))
        for table in TABLES:
            connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def test_log_that_is_set_back_under_a_running_registry_is_told(registry: Registry, database: Database) -> None:
    set_back(registry, database)
    with pytest.raises(LogBroken):
        registry.state()


def test_nothing_is_recorded_behind_what_was_set_back(registry: Registry, database: Database) -> None:
    set_back(registry, database)
    with pytest.raises(LogBroken):
        registry.record([SubsystemSuspended(POPULATION)], ACT)


def test_log_that_was_replaced_by_another_of_the_same_length_is_told(
    registry: Registry, store: EventStore, database: Database, clock: Clock
) -> None:
    set_back(registry, database)
    Registry(store, clock).record([SubsystemSuspended(POPULATION)], ACT)
    with pytest.raises(LogBroken):
        registry.state()


class Watched(EventStore):
    """Notes how many events are read while the log is locked."""

    read = 0
    read_locked = 0

    def events(self, after: int = 0, until: int = 2**63 - 1) -> Iterator[StoredEvent]:
        for one in super().events(after, until):
            self.read += 1
            yield one

    @contextmanager
    def appending(self) -> Iterator[Appender]:
        with super().appending() as log:
            yield _Counting(log, self)


class _Counting(Appender):
    def __init__(self, log: Appender, watched: Watched) -> None:
        super().__init__(log._connection)
        self._watched = watched

    def events(self, after: int) -> list:  # type: ignore[type-arg]
        found = super().events(after)
        self._watched.read_locked += len(found)
        return found


def test_writer_that_begins_reads_the_log_before_it_locks_it(
    registry: Registry, database: Database, clock: Clock
) -> None:
    """A command of a registry with a million events must not keep renewals waiting while it reads them."""
    with Watched(database) as store:
        Registry(store, clock).record([SubsystemSuspended(CIVIL)], ACT)
        assert store.read_locked <= 1


def test_payload_that_the_chain_holds_but_no_rule_made_is_a_broken_log(
    registry: Registry, store: EventStore, clock: Clock
) -> None:
    """Whoever can write rows can chain them: what cannot be applied is told as what it is."""
    state = registry.state()
    forged = Event(state.position + 1, state.time_ms, "ops:mallory", "x", GrantRevoked("never-made"), b"")
    with store.appending() as log:
        log.append((store_event(forged, state.head),), {}, {})
    with pytest.raises(LogBroken) as broken:
        Registry(store, clock).state()
    assert broken.value.position == state.position + 1


def test_database_that_takes_no_writes_is_told_like_one_that_is_down(database: Database, registry: Registry) -> None:
    """A standby after a failover: its answer is an InternalError, which would have ended a supervisor."""
    with database.connect(autocommit=True) as connection:
        connection.execute("ALTER ROLE CURRENT_USER SET default_transaction_read_only = on")
    with EventStore(database, migrating=False) as standby:
        follower = Registry(standby, Clock())
        assert follower.state().position == registry.state().position
        with pytest.raises(DatabaseUnavailable):
            follower.record([SubsystemSuspended(CIVIL)], ACT)


def test_page_of_the_history_costs_the_page_not_the_log(registry: Registry, database: Database) -> None:
    """Whoever may read the log reads it page by page: each page from the beginning would be its square."""
    *_, before_last, last = registry.history()
    with Watched(database) as store:
        reader = Registry(store, Clock())
        assert [one.position for one in reader.history(before_last.position)] == [last.position]
        assert store.read <= 3
        for nowhere in (-1, last.position + 1, 2**63):
            with pytest.raises(ValueError, match="position"):
                list(reader.history(nowhere))


def test_writer_that_stopped_lets_go_of_the_log(store: EventStore) -> None:
    """A suspended command beside somebody's server, which may have no limit of its own, would hold it for ever."""
    with store.appending() as log:
        row = log._connection.execute("SELECT current_setting('idle_in_transaction_session_timeout')").fetchone()
    assert row is not None
    assert row[0] == "1min"
