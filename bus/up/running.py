"""The parts of one instance, started in this order and ended in the reverse one:

1. PostgreSQL (ours, or somebody's behind --database-url) and the registry's database
2. keys, the registry's founding, the broker's certificate (bus.up.found)
3. the publisher: from here on snapshots follow the log
4. the registry's services on the bus, and the enrolment listener
5. the broker: Envoy with the gate

A part that comes later needs those before it to start, and goes on without them: with PostgreSQL gone calls are served
by the last snapshots. Another part is one more method here that enters a context, and one more entry in `tell`.
"""

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from bus.edge.endpoint import Endpoint
from bus.edge.publisher import Publication, Publisher, PublisherError
from bus.engines.broker import Broker
from bus.engines.postgres import Postgres
from bus.engines.postgres_database import DatabaseServer
from bus.engines.postgres_external import ExternalPostgres
from bus.engines.supervisor import EngineError, Supervisor
from bus.registry.event import LogBroken
from bus.registry.fold import Act
from bus.registry.refusal import Refusal
from bus.registry.registry import Registry
from bus.registry.service_run import RegistryServices
from bus.registry.store import EventStore
from bus.up import found
from bus.up.broker import Fresh, make_fresh, renewal_time
from bus.up.control import Control
from bus.up.layout import REGISTRY, Facts, Layout
from bus.up.process import instance_lock
from pki.authority import Authority
from pki.errors import ProfileError
from pki.files import read_private, write_atomic
from pki.signer import FileSigner

__all__ = ["FAILURES", "Options", "Running", "now_ms"]

_ROOM_BYTES = 300 << 20  # the journal reserves its segments, PostgreSQL its own
_RETRY_SECONDS = 60.0
_TICK_FAILURES = (EngineError, Refusal, ProfileError, LogBroken, OSError)

log = logging.getLogger(__name__)


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """What a start may be told; None leaves it as it is, or as is usual at a first start."""

    facts: Facts | None = None
    listen: Endpoint | None = None
    database_url: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class _Seen:
    """What a supervised child looked like, and since when."""

    supervisor: Supervisor
    pid: int | None = None
    since_ms: int = 0

    def look(self) -> None:
        """Note a change."""
        pid = self.supervisor.pid if self.supervisor.ready else None
        if pid != self.pid or not self.since_ms:
            self.pid, self.since_ms = pid, now_ms()

    def tell(self) -> dict[str, Any]:
        """For the control socket."""
        self.look()
        return {"pid": self.pid, "since_ms": self.since_ms, "starts": self.supervisor.starts}


class Running:
    """An instance between `with` and its end. `say` gets each step of the start as a line for people."""

    def __init__(self, layout: Layout, options: Options, say: Callable[[str], None]) -> None:
        """Nothing happens yet."""
        self.layout, self._options, self._say = layout, options, say
        self._parts = contextlib.ExitStack()
        self._told = threading.Lock()
        self._began_ms = now_ms()
        self._phase = "starting"
        self._seen: dict[str, _Seen] = {}
        self._server_version = ""
        self.publisher: Publisher | None = None
        self.services: RegistryServices | None = None
        self.broker: Broker | None = None
        self._renewal: tuple[Fresh, int] | None = None
        self._renew_after = 0.0

    def __enter__(self) -> Self:
        """Start everything; one of FAILURES, and then nothing runs."""
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._phase = "stopping"
        self._say("ending: broker, services, publisher, PostgreSQL")
        self._parts.close()

    @property
    def address(self) -> str:
        """Where the broker listens."""
        return str(self.broker.config.listen) if self.broker else ""

    @property
    def version(self) -> int:
        """The policy version published last."""
        last = self.publisher.last if self.publisher else None
        return last.version if last else 0

    def _start(self) -> None:
        layout = self.layout
        facts = self._settle()
        self.facts = facts
        now = datetime.now(UTC)
        self._say(f"keys: authority of {facts.trust_domain}, policy key, {facts.broker}")
        authority = found.make_keys(layout, facts, now=now)
        server = self._start_database()
        self._say("registry")
        self.registry = Registry(self._parts.enter_context(EventStore(server.database(REGISTRY))), now_ms)
        found.found_registry(layout, facts, self.registry, authority, now=now, listen=self._options.listen)
        found.provide_broker(layout, facts, self.registry, authority, lambda: datetime.now(UTC))
        self._start_publisher()
        self._start_services()
        self._start_broker()
        self._phase = "running"

    def _settle(self) -> Facts:
        facts = self.layout.settle(self._options.facts)
        self._parts.enter_context(instance_lock(self.layout))
        free = shutil.disk_usage(self.layout.state).free
        if free < _ROOM_BYTES:
            raise EngineError(
                f"less than {_ROOM_BYTES >> 20} MiB are free under {self.layout.state}; free some, or name another"
                " directory with --state"
            )
        self._parts.enter_context(Control(self.layout, self.tell))
        return facts

    def _start_database(self) -> DatabaseServer:
        layout, server = self.layout, None
        if self._options.database_url is not None:
            if (layout.state / "postgres" / "data").exists():
                raise EngineError(f"{layout.state} has a PostgreSQL of its own; leave --database-url out")
            write_atomic(layout.database_url, self._options.database_url.encode())
        if layout.database_url.exists():
            self._say("database: the server behind --database-url")
            server = ExternalPostgres(read_private(layout.database_url).decode(), layout.state)
            return self._parts.enter_context(server)
        self._say("PostgreSQL")
        postgres = Postgres(layout.state)
        self._parts.callback(postgres.stop)
        postgres.start()
        self._server_version = postgres.version
        self._see("postgres", postgres.supervisor)
        return postgres

    def _start_publisher(self) -> None:
        self._say("publisher")
        signer = FileSigner.load(self.layout.policy_signing_key)
        publisher = Publisher(self.layout.state, self.registry, signer, now_ms, _tell_publication)
        self.publisher = self._parts.enter_context(publisher)

    def _start_services(self) -> None:
        member = self.facts.broker.rpartition("/")[0]
        self._say(f"registry services: {member}/registry, enrolment listener")
        services = RegistryServices(
            self.layout.state,
            self.registry,
            lambda: Authority.open(self.layout.state, self.facts.trust_domain, now=datetime.now(UTC)),
            FileSigner.load(self.layout.policy_signing_key).public_point,
            now_ms,
            path=f"{member}/registry",
        )
        self.services = self._parts.enter_context(services)

    def _start_broker(self) -> None:
        self._say(f"broker {self.facts.broker}: Envoy with the gate")
        broker = Broker(self.layout.broker_home(self.facts.broker))
        self._parts.callback(broker.stop)
        broker.start()
        self.broker = broker
        self._see("broker", broker.envoy.supervisor)

    def _see(self, part: str, supervisor: Supervisor) -> None:
        self._seen[part] = seen = _Seen(supervisor)
        seen.look()

    def tick(self) -> None:
        """What is to be done about once a second: note what died, renew what ends."""
        with self._told:
            for seen in self._seen.values():
                seen.look()
        try:
            self._renew()
        except _TICK_FAILURES as error:
            self._renewal, self._renew_after = None, time.monotonic() + _RETRY_SECONDS
            log.warning("the broker's certificate is not renewed: %s; tried again in a minute", error)
        try:
            if self.services is not None:
                self.services.tick()
        except _TICK_FAILURES as error:
            log.warning("the registry's own certificate is not looked after: %s; tried again in a minute", error)

    def _renew(self) -> None:
        """Issue, record, and use it when it has been published."""
        home = self.layout.broker_home(self.facts.broker)
        if self._renewal is not None:
            fresh, position = self._renewal
            last = self.publisher.last if self.publisher else None
            if last is not None and last.log_position >= position:
                fresh.use(home)
                self._renewal = None
                log.info("the broker has a new certificate")
        elif time.monotonic() >= self._renew_after and datetime.now(UTC) >= renewal_time(home):
            now = datetime.now(UTC)
            authority = Authority.open(self.layout.state, self.facts.trust_domain, now=now)
            fresh = make_fresh(authority, self.layout.identity(self.facts), now=now)
            (event,) = self.registry.record([fresh.change], Act(found.SUPERVISOR, "certificate of the broker renewed"))
            self._renewal = fresh, event.position

    def tell(self) -> dict[str, Any]:
        """What only this process knows; for bus.up.report."""
        last = self.publisher.last if self.publisher else None
        with self._told:
            parts = {name: seen.tell() for name, seen in self._seen.items()}
        if "postgres" in parts:
            parts["postgres"]["version"] = self._server_version
        if "broker" in parts:
            parts["broker"] |= self._tell_broker()
        services = self.services
        return {
            "enrolment": None if services is None else str(services.enrolment),
            "phase": self._phase,
            "since_ms": self._began_ms,
            "publisher": None if last is None else _publication(last),
            **parts,
        }

    def _tell_broker(self) -> dict[str, Any]:
        found: dict[str, Any] = {"in_force": 0, "calls": {}}
        if self.broker is None:
            return found
        with contextlib.suppress(OSError, EngineError, LookupError, ValueError):
            admin = self.broker.envoy.admin
            dump = admin.config_dump("ecds_filters")
            found["in_force"] = int(dump["configs"][0]["version_info"] or 0)
            found["calls"] = self.broker.statistics()
        return found


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


FAILURES = (EngineError, Refusal, PublisherError, ProfileError, LogBroken, OSError)
