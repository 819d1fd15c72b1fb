"""What an instance's ledger follows: every broker's journal, the registry's log, the policy snapshots.

A broker that is added is followed from the next look on. The registry's database is looked for at every read: it may
start later than the ledger, or come back at another place.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg

from bus.edge.broker_file import BROKER_FILE, load_broker_config
from bus.edge.snapshot_files import BROKER_SNAPSHOT
from bus.edge.yaml_reader import YamlFileError
from bus.engines.postgres_database import Database
from bus.engines.supervisor import EngineError
from bus.exchange.trust import SnapshotFile, load_policy_key
from bus.ledger.head import Position
from bus.ledger.journal_source import JournalSource
from bus.ledger.journal_tail import JournalTail
from bus.ledger.registry_keys import RegisteredKeys
from bus.ledger.registry_source import RegistrySource
from bus.ledger.snapshot_source import SnapshotSource
from bus.ledger.source import Portion, SourceUnavailable
from bus.registry.store import EventStore
from bus.up.database import registry_database
from bus.up.layout import Facts, Layout
from native.snapshot import BROKER_SCOPE
from pki.identity import SubsystemId

__all__ = ["Sources"]

_REST_S: Final = 0.5


class _RegistryLink:
    """The registry's log wherever its database is now. A bus.ledger.source.Source."""

    name: Final = RegistrySource.name

    def __init__(self, layout: Layout, salt_key: bytes) -> None:
        self._layout, self._salt_key = layout, salt_key
        self._lock = threading.Lock()  # journals look for keys, each on its own thread
        self._database: Database | None = None
        self._store: EventStore | None = None
        self._rests_until = 0.0

    def read(self, position: Position | None) -> Portion:
        """See Source. Asked more often than twice a second, it knows nothing new."""
        if position is not None and time.monotonic() < self._rests_until:
            return Portion((), position, complete=False)
        try:
            found = RegistrySource(self.store(), self._salt_key).read(position)
            self._rests_until = 0.0 if found.more else time.monotonic() + _REST_S
            return found
        except psycopg.Error as error:  # not a connection's: its tables are being made, for one
            raise SourceUnavailable(f"the registry's log cannot be read yet ({type(error).__name__})") from error

    def store(self) -> EventStore:
        """Open where the database is now; SourceUnavailable where none is."""
        try:
            database = registry_database(self._layout)
        except (EngineError, OSError) as error:
            raise SourceUnavailable("the registry's database is not there; its events wait until it is") from error
        with self._lock:
            if self._store is None or database != self._database:
                self.close()
                self._store, self._database = EventStore(database, migrating=False), database
            return self._store

    def close(self) -> None:
        """Let go of the connections."""
        if self._store is not None:
            self._store.close()
            self._store = None


class Sources:
    """All of them; `close` after the ledger that reads them is closed."""

    def __init__(self, layout: Layout, facts: Facts, salt_key: bytes) -> None:
        """Nothing is read yet. ConfigError or OSError when the policy key is not there."""
        self._layout, self._facts = layout, facts
        policy_key = load_policy_key(layout.policy_key)
        self.registry = _RegistryLink(layout, salt_key)
        snapshot = layout.state / "snapshots" / BROKER_SNAPSHOT
        self.snapshots = SnapshotSource(snapshot, policy_key.point, salt_key)
        self._keys = RegisteredKeys(
            SnapshotFile(snapshot, policy_key, facts.trust_domain, BROKER_SCOPE),
            self.registry.store,
            lambda path: SubsystemId(facts.trust_domain, *path.split("/")).spiffe_id,
        )
        self.tails: dict[str, JournalTail] = {}
        """By the journal's name."""

    def new_journals(self) -> Iterator[JournalSource]:
        """Of the brokers that have come since the last look."""
        for file in sorted((self._layout.state / "brokers").glob(f"*/{BROKER_FILE}")):
            source = self._journal(file.parent)
            if source is not None and source.name not in self.tails:
                self.tails[source.name] = JournalTail(file.parent / "journal")
                yield source

    def close(self) -> None:
        """Let go of the database."""
        self.registry.close()

    def _journal(self, home: Path) -> JournalSource | None:
        """None while its file cannot be read: it may be being written."""
        try:
            config = load_broker_config(home)
        except (OSError, YamlFileError):
            return None
        return JournalSource(config.journal, config.identity.spiffe_id, self._keys, time.monotonic)
