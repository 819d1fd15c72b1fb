"""The operator of the demonstration's instance: changes, tokens and what is in force, as `govbus member`, `grant`,
`token issue` and their like do it, on the registry of the running instance."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from bus.demo.report import DemoError
from bus.engines.supervisor import EngineError
from bus.registry.change import Change
from bus.registry.enrolment import issue_token, root_digest
from bus.registry.fold import Act
from bus.registry.registry import Registry
from bus.registry.service_run import ENROLMENT_PORT
from bus.registry.state import RegistryState
from bus.registry.store import EventStore
from bus.up.database import registry_database
from bus.up.force import wait_in_force
from bus.up.layout import Layout
from bus.up.running import now_ms
from pki.authority import Authority

__all__ = ["Operator"]

_SECRET_BYTES: Final = 32


class Operator:
    """Whoever can read the state directory; each act opens the registry anew, as a command does."""

    def __init__(self, layout: Layout) -> None:
        logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)  # what matters of it is raised
        self._layout = layout

    def state(self) -> RegistryState:
        """The registry's newest state."""
        with self._registry() as registry:
            return registry.state()

    def record(self, changes: Sequence[Change], reason: str, files: Mapping[bytes, bytes] | None = None) -> float:
        """Record; the monotonic time when it was done."""
        return self._record(changes, reason, files)[0]

    def bring_in_force(
        self, changes: Sequence[Change], reason: str, files: Mapping[bytes, bytes] | None = None
    ) -> float:
        """Record and wait until every reader and the gate have it; how many seconds that took."""
        _, position = self._record(changes, reason, files)
        found = wait_in_force(self._layout, position)
        if found is None:
            raise DemoError("a change is not in force after 15 s; with --state DIR see DIR/instance/supervisor")
        return found.seconds

    def token(self, path: str, authority: Authority) -> str:
        """What lets a subsystem enrol, once, within the hour."""
        port = json.loads((self._layout.state / "ports.json").read_bytes())[ENROLMENT_PORT]
        server = f"{self._layout.expect().broker.rpartition('/')[0]}/registry"
        with self._registry() as registry:
            return issue_token(
                registry,
                path,
                _act("joins the demonstration"),
                server=server,
                address=f"127.0.0.1:{port}",
                root=root_digest(authority),
                secret=os.urandom(_SECRET_BYTES),
                now_ms=now_ms(),
                again=True,
            ).text

    def _record(self, changes: Sequence[Change], reason: str, files: Mapping[bytes, bytes] | None) -> tuple[float, int]:
        with self._registry() as registry:
            position = registry.record(changes, _act(reason), files)[-1].position
            return time.monotonic(), position

    @contextmanager
    def _registry(self) -> Iterator[Registry]:
        try:
            database = registry_database(self._layout)
            database.connect(autocommit=True).close()  # said at once: the store's pool waits for a server to come back
            with EventStore(database, migrating=False) as store:
                yield Registry(store, now_ms)
        except EngineError as error:
            raise DemoError(str(error)) from error


def _act(reason: str) -> Act:
    return Act("local:demonstration", reason)
