"""The parts that need the database: PostgreSQL, registry, publisher, the registry's services, the ledger's presence.

1. An instance's first start needs all of them, and fails without.
2. At a later start calls do not wait for them: when the database does not start, or does not answer, the brokers go on
   by the last policy, and this is tried again every few seconds by a thread, until everything is up.
3. What is not the database's absence (another instance's registry, one that was set back) fails a start. Found later,
   it is told, and tried again too: a person may mend it meanwhile.
"""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from bus.edge.publisher import Publication, Publisher, PublisherError
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import DatabaseServer, DatabaseUnavailable
from bus.engines.postgres_external import ExternalPostgres
from bus.engines.records import Records
from bus.engines.supervisor import EngineError, Supervisor
from bus.registry.clock import ClockSetBack, SteadyClock
from bus.registry.enrolment import issue_token, root_digest
from bus.registry.event import LogBroken
from bus.registry.fold import Act
from bus.registry.refusal import Refusal
from bus.registry.registry import Registry
from bus.registry.service_run import RegistryServices
from bus.registry.store import EventStore
from bus.up import found
from bus.up.clock import boot_ms, now_ms
from bus.up.layout import REGISTRY, Facts, Layout, ledger_path
from bus.up.ledger import LedgerPart
from bus.up.options import Options
from bus.up.signing_key import Step, rotate_signing_key, signing_key_end
from pki.authority import Authority
from pki.errors import ProfileError
from pki.files import read_private, write_atomic
from pki.signer import FileSigner

__all__ = ["FAILURES", "Options", "RegistryParts", "now_ms"]

FAILURES = (EngineError, Refusal, PublisherError, ProfileError, LogBroken, OSError)
"""What may keep a part from starting; the text says what to do."""
_FIRST_SECONDS, _LATER_SECONDS = 60.0, 20.0
_RECOVERY_SECONDS = 3600.0  # a long recovery is not to be begun again and again
_AGAIN_SECONDS = 5.0
_PATIENCE_SECONDS = 2.0
_QUIET_SECONDS = 60.0
_KEY_SECONDS = 60.0
_CHECKPOINT_AT_START = 20_000  # events read; writing one takes about a second for 200,000 grants
_CHECKPOINT_AT_END = 1_000
_SECRET_BYTES = 32

_CLOCK_WAS_AHEAD = Act(found.SUPERVISOR, "the operator says that the clock was ahead and is right now")

log = logging.getLogger(__name__)


class _DatabaseAway(EngineError):
    """The database does not start or answer: nothing else is wrong."""


class RegistryParts:
    """Between `start` and `stop`; the parts are None while they wait."""

    def __init__(
        self,
        layout: Layout,
        facts: Facts,
        options: Options,
        ledger: LedgerPart,
        serves: Callable[[str], bool],
        see: Callable[[str, Supervisor], None],
        say: Callable[[str], None],
        records: Records | None = None,
    ) -> None:
        """`serves`: whether that broker does; `see` is told of each child, `say` of each step. With `records` our own
        PostgreSQL goes on without this process."""
        self._layout, self._facts, self._options, self._records = layout, facts, options, records
        self._ledger, self._serves, self._see, self._say = ledger, serves, see, say
        self.registry: Registry | None = None
        self.publisher: Publisher | None = None
        self.services: RegistryServices | None = None
        self._postgres: Postgres | None = None
        self.waiting: tuple[int, str] | None = None
        """Since when, and why; None while all of them are there."""
        self._parts = contextlib.ExitStack()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._retry, name="registry-parts", daemon=True)
        self._told: tuple[str, float] = "", 0.0
        self._clock = SteadyClock(now_ms, boot_ms)
        self._path = f"{facts.broker.rpartition('/')[0]}/registry"
        self._key_look_at = 0.0
        self.key_ends_ms: int | None = None
        """When the registry's own signing key ends."""

    def start(self, *, first: bool) -> None:
        """Everything is up when this returns, or waits (rule 2). One of FAILURES: nothing of it runs."""
        slow = threading.Timer(_PATIENCE_SECONDS, self._tell_slow)
        slow.daemon = True
        try:
            if not first:
                slow.start()
            self._attempt(_FIRST_SECONDS if first else _LATER_SECONDS, running=False)
        except _DatabaseAway as error:
            if first:
                raise EngineError(f"the first start needs its database: {error}") from error
            self.waiting = now_ms(), str(error)
            self._say("the database is away: calls go on by the last policy, the registry waits and is tried again")
            log.warning("the registry waits: %s", error)
            self._thread.start()
        finally:
            slow.cancel()

    def stop(self) -> None:
        """End them in order; returns when nothing of it runs."""
        self._stopping.set()
        if self._postgres is not None:
            self._postgres.supervisor.cancel()
        if self._thread.is_alive():
            self._thread.join()
        self._parts.close()

    def tick(self) -> None:
        """Look after the certificates of the registry and of the ledger; whatever provide_home raises."""
        registry, publisher, services = self.registry, self.publisher, self.services
        if registry is None or publisher is None or services is None:
            return
        services.tick()
        self._ledger.provide(registry, self.authority)
        if time.monotonic() >= self._key_look_at:
            self._key_look_at = time.monotonic() + _KEY_SECONDS
            if rotate_signing_key(services.home, self._path, registry, now_ms) is Step.REPLACED:
                services.stop()
                self.services = self._new_services(registry, publisher)
                self.services.start()
            self.key_ends_ms = signing_key_end(services.home, registry.state().keys)

    @property
    def enrols(self) -> bool:
        """Whether newcomers can enrol."""
        return self.services is not None and self.registry is not None

    def token(self, path: str, act: Act) -> str:
        """What lets the subsystem `path` enrol once, within the hour, enrolled or not; whatever record raises."""
        registry, services = self.registry, self.services
        if registry is None or services is None:
            raise EngineError("nobody can enrol until the registry is there")
        token = issue_token(
            registry,
            path,
            act,
            server=self._path,
            address=str(services.enrolment),
            root=root_digest(self.authority()),
            secret=os.urandom(_SECRET_BYTES),
            now_ms=now_ms(),
            again=True,
        )
        return token.text

    def authority(self) -> Authority:
        """As it is on the disk now."""
        return Authority.open(self._layout.state, self._facts.trust_domain, now=datetime.now(UTC))

    def tell(self) -> dict[str, Any]:
        """For bus.up.report."""
        publisher, services, waiting = self.publisher, self.services, self.waiting
        last = publisher.last if publisher else None
        return {
            "enrolment": None if services is None else str(services.enrolment),
            "publisher": None if last is None else _publication(last),
            "key_ends_ms": {self._path: self.key_ends_ms, ledger_path(self._facts): self._ledger.key_ends_ms},
            "clock_offset_ms": self._clock.offset_ms,
            "waiting": None if waiting is None else {"since_ms": waiting[0], "why": waiting[1]},
        }

    @property
    def server_version(self) -> str:
        """Of our own PostgreSQL; empty for somebody's."""
        return self._postgres.version if self._postgres else ""

    def _attempt(self, seconds: float, *, running: bool) -> None:
        """All of them, or none; `running`: the instance goes on without them already."""
        with contextlib.ExitStack() as parts:
            try:
                server = self._start_database(parts, seconds)
                if not running:
                    parts.push(self._leave_found)
                self._say("registry")
                store = parts.enter_context(EventStore(server.database(REGISTRY)))
                registry = Registry(store, self._clock, self._layout.checkpoint)
                registry.state()
                if self._options.clock_was_ahead and not running:
                    registry.record([ClockSetBack()], _CLOCK_WAS_AHEAD)
                _store_checkpoint(registry, _CHECKPOINT_AT_START)
                parts.callback(_store_checkpoint, registry, _CHECKPOINT_AT_END)
            except EngineError as error:
                raise _DatabaseAway(str(error)) from error
            except psycopg.Error as error:  # it died between two questions, or is not ready for one
                raise _DatabaseAway(f"the database failed ({type(error).__name__})") from error
            except OSError as error:
                raise _DatabaseAway(f"{error.strerror or error}: {error.filename or self._layout.state}") from error
            try:
                publisher = self._start_followers(parts, registry, running=running)
            except DatabaseUnavailable as error:
                raise _DatabaseAway(str(error)) from error
            self._parts = parts.pop_all()
        self.registry, self.publisher = registry, publisher

    def _leave_found(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """A start that fails for another reason than its database leaves one that it found as it was."""
        if error is not None and not isinstance(error, _DatabaseAway) and self._records is not None:
            self._records.leave_found = True

    def _start_followers(self, parts: contextlib.ExitStack, registry: Registry, *, running: bool) -> Publisher:
        layout, facts, authority = self._layout, self._facts, self.authority()
        found.found_registry(
            layout,
            facts,
            registry,
            authority,
            now=datetime.now(UTC),
            listen=self._options.listen if not running else None,
        )
        for path in layout.broker_paths(facts):
            serves = running or self._serves(path)
            found.provide_broker(layout, facts, path, registry, authority, now_ms, running=serves)
        self._say("publisher")
        signer = FileSigner.load(layout.policy_signing_key)
        publisher = parts.enter_context(Publisher(layout.state, registry, signer, now_ms, _tell_publication))
        self._ledger.provide(registry, self.authority)  # before the registry makes everybody's grants
        self._say(f"registry services: {self._path}, enrolment listener")
        services = self._new_services(registry, publisher)
        parts.callback(self._stop_services)
        self.services = services
        services.start()
        return publisher

    def _new_services(self, registry: Registry, publisher: Publisher) -> RegistryServices:
        point = FileSigner.load(self._layout.policy_signing_key).public_point
        return RegistryServices(
            self._layout.state,
            registry,
            self.authority,
            point,
            now_ms,
            path=self._path,
            enrolment=self._options.enrolment,
            renew=publisher.renew,
        )

    def _stop_services(self) -> None:
        if self.services is not None:
            self.services.stop()
            self.services = None

    def _start_database(self, parts: contextlib.ExitStack, seconds: float) -> DatabaseServer:
        layout, url = self._layout, self._options.database_url
        if url is not None or layout.database_url.exists():
            self._say("database: the server behind --database-url")
            server = ExternalPostgres(url or read_private(layout.database_url).decode(), layout.state)
            parts.enter_context(server)
            if url is not None:  # kept when it was seen to be one
                write_atomic(layout.database_url, url.encode())
            return server
        self._say("PostgreSQL")
        self._postgres = postgres = Postgres(layout.state, records=self._records)
        parts.callback(postgres.stop)
        if self._stopping.is_set():
            postgres.supervisor.cancel()
        postgres.start(seconds)
        self._see("postgres", postgres.supervisor)
        return postgres

    def _retry(self) -> None:
        while not self._stopping.wait(_AGAIN_SECONDS):
            try:
                self._say = log.debug  # nobody follows this start
                self._attempt(_RECOVERY_SECONDS, running=True)
            except FAILURES as error:
                since_ms = self.waiting[0] if self.waiting else now_ms()
                self.waiting = since_ms, str(error)
                self._tell_failure(str(error))
            else:
                self.waiting = None
                log.info("the registry is back; the policy follows it again")
                return

    def _tell_slow(self) -> None:
        """On a thread of its own: whoever starts an instance should not wonder whether calls are served."""
        if self.registry is None:
            self._say(
                f"the database is slow; it gets {_LATER_SECONDS:g} s, and calls go on by the last policy meanwhile"
            )

    def _tell_failure(self, text: str) -> None:
        """Once a minute, or when it is another one."""
        before, at = self._told
        if text != before or time.monotonic() - at > _QUIET_SECONDS:
            self._told = text, time.monotonic()
            log.warning("the registry waits: %s", text)


def _publication(last: Publication) -> dict[str, int]:
    return {
        "version": last.version,
        "log_position": last.log_position,
        "written_ms": last.written_ms,
        "delay_ms": last.delay_ms,
    }


def _tell_publication(done: Publication) -> None:
    logging.getLogger("bus.edge.publisher").info(
        "policy version %d published to %d readers, log position %d", done.version, done.scopes, done.log_position
    )


def _store_checkpoint(registry: Registry, after: int) -> None:
    """For the next start, if it is worth that; without it the next start takes longer, and that is all."""
    try:
        registry.store_checkpoint(after)
    except OSError as error:
        log.warning(
            "no checkpoint of the registry is written (%s); the next start reads more of its log", error.strerror
        )
