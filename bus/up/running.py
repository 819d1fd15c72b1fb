"""The parts of one instance, started in this order:

1. the state directory's lock, the control socket, keys
2. the ledger's process (bus.up.ledger), which nothing waits for
3. the brokers: Envoy with the gate (bus.up.broker_part), one for each directory in brokers/
4. the nation's members with their own PostgreSQL, where there is one (bus.nation.part), each as soon as it can
5. PostgreSQL (ours, or somebody's behind --database-url), registry, publisher, the registry's services, enrolment
   (bus.up.registry_parts)

Calls are served by the last snapshots, journals are integrated without a database: brokers that have all that they need
start beside PostgreSQL, and what the registry says differently about them is done when it is there. Only where one has
not served yet, as at the first start of all, the registry comes first. Another part is one more method here, one more
line in `_end`, and one more entry in `tell`.
"""

import contextlib
import logging
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from bus.edge.publisher import Publisher
from bus.engines.records import Records
from bus.engines.runner import Runner
from bus.engines.share import Share
from bus.engines.supervisor import EngineError, Supervisor
from bus.nation.part import SERVER, NationPart
from bus.nation.settled import Settled, settle
from bus.registry.event import LogBroken
from bus.registry.refusal import Refusal
from bus.registry.registry import Registry
from bus.up import found
from bus.up.broker_part import BrokerPart
from bus.up.control import Control
from bus.up.layout import Facts, Layout
from bus.up.ledger import LedgerPart
from bus.up.left import end_left
from bus.up.options import Options
from bus.up.preflight import verify_listen
from bus.up.process import instance_lock
from bus.up.registry_parts import FAILURES, RegistryParts, now_ms
from bus.up.report_parts import ENDING
from pki.errors import ProfileError

__all__ = ["FAILURES", "Options", "Running", "now_ms"]

_ENDING = {signal.SIGINT, signal.SIGTERM}
"""Blocked by bus.up.serve until the start is done: a long wait looks whether one is there."""
_ROOM_BYTES = 300 << 20  # the journal reserves its segments, PostgreSQL its own
_RETRY_SECONDS = 60.0
_LEDGER_SECONDS = 15.0
_TICK_FAILURES = (EngineError, Refusal, ProfileError, LogBroken, OSError)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    """What a supervised engine looked like, and since when."""

    runner: Runner
    pid: int | None = None
    ready: bool = False
    since_ms: int = 0

    def look(self) -> None:
        """Note a change."""
        ready = self.runner.ready
        pid = self.runner.pid if ready else None
        if (pid, ready) != (self.pid, self.ready) or not self.since_ms:
            began_ms = self.runner.began_ms if pid and isinstance(self.runner, Supervisor) else 0
            self.pid, self.ready, self.since_ms = pid, ready, began_ms or now_ms()

    def tell(self) -> dict[str, Any]:
        """For the control socket."""
        self.look()
        return {"pid": self.pid, "ready": self.ready, "since_ms": self.since_ms, "starts": self.runner.starts}


class Running:
    """An instance between `with` and its end. `say` gets each step of the start as a line for people."""

    def __init__(
        self,
        layout: Layout,
        options: Options,
        say: Callable[[str], None],
        guarded: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """Nothing happens yet. `guarded`: what the control socket is to say of who guards this process."""
        self.layout, self._options, self._say, self._guarded = layout, options, say, guarded
        self._records = Records(layout.engines) if options.stays else None
        self._outer = contextlib.ExitStack()
        self._told = threading.Lock()
        self._began_ms = now_ms()
        self._phase = "starting"
        self._seen: dict[str, _Seen] = {}
        self._registry_parts: RegistryParts | None = None
        self._ledger: LedgerPart | None = None
        self.nation: NationPart | None = None
        self.brokers: tuple[BrokerPart, ...] = ()
        self._nation: Settled | None = None
        self._tick_after: dict[str, float] = {}

    def __enter__(self) -> Self:
        """Start everything; one of FAILURES, and then nothing runs but what was found running."""
        try:
            self._start()
        except BaseException:
            if self._records is not None:
                self._records.leave_found = True
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._phase = ENDING
        self._say("ending: brokers, nation, ledger, services, publisher, PostgreSQL")
        self._end()

    @property
    def registry(self) -> Registry:
        """The registry; EngineError while its database is away."""
        parts = self._registry_parts
        if parts is None or parts.registry is None:
            raise EngineError("the registry waits for its database; look with `govbus status`")
        return parts.registry

    @property
    def publisher(self) -> Publisher | None:
        """None while the registry's database is away."""
        return self._registry_parts.publisher if self._registry_parts else None

    @property
    def address(self) -> str:
        """Where the first broker listens."""
        return self.brokers[0].address if self.brokers else ""

    @property
    def version(self) -> int:
        """The policy version that the first broker was given."""
        broker = self.brokers[0].broker if self.brokers else None
        last = self.publisher.last if self.publisher else None
        return last.version if last else broker.snapshot_version if broker else 0

    @property
    def waiting(self) -> str:
        """Why the registry is not there; empty when it is."""
        waiting = self._registry_parts.waiting if self._registry_parts else None
        return waiting[1] if waiting else ""

    def _start(self) -> None:
        layout = self.layout
        self.facts = facts = self._settle()
        self._say(f"keys: authority of {facts.trust_domain}, policy key, {facts.broker}")
        found.make_keys(layout, facts, now=datetime.now(UTC))
        self._ledger = ledger = LedgerPart(layout, facts, now_ms)
        ledger.begin()
        self._see("ledger", ledger.supervisor)
        share = Share.at(self._options.envoy_share) if self._options.envoy_share else None
        self.brokers = tuple(
            BrokerPart(
                *(layout, facts, path, self._see, self._options.collector),
                share if path == facts.broker else None,
                self._records,
            )
            for path in layout.broker_paths(facts)
        )
        parts = RegistryParts(layout, facts, self._options, ledger, self._serves, self._see, self._say, self._records)
        self._registry_parts = parts
        if self._nation is not None:
            self._say(f"nation: its PostgreSQL, and members with {self._nation.people:,} people")
            self.nation = NationPart(layout, self._nation, self._options, parts, self._see, self._records)
            self.nation.begin()
        served = layout.has_served(facts)
        if served:
            self._begin_brokers(self.brokers)
        parts.start(first=not served)
        self._finish_brokers()
        if not ledger.wait_following(_LEDGER_SECONDS, without_registry=bool(parts.waiting)):
            log.warning("the ledger does not follow yet; calls go on, why: govbus status")
        if self.nation is not None:
            self.nation.wait(self._say, lambda: bool(signal.sigpending() & _ENDING))
        self._phase = "running"

    def _serves(self, path: str) -> bool:
        return any(part.serves() for part in self.brokers if part.path == path)

    def _begin_brokers(self, parts: Iterable[BrokerPart]) -> None:
        for part in parts:
            self._say(f"broker {part.path}: Envoy with the gate")
            part.begin()

    def _finish_brokers(self) -> None:
        """All of them serve, or wait for their keys. What one lacked without the registry it has now."""
        self._begin_brokers([part for part in self.brokers if part.to_begin])
        for part in self.brokers:
            part.wait(self._say)
            part.follow_address()

    def _end(self) -> None:
        """Brokers first: what they admit until then is integrated, and the registry is there as long as anybody."""
        services = self._registry_parts.services if self._registry_parts else None
        if services is not None:
            services.release()  # who waits for a newer policy would hold up the brokers' end
        for part in reversed((self._registry_parts, self._ledger, self.nation, *self.brokers)):
            if part is not None:
                part.stop()
        if self._records is not None and not self._records.leave_found:
            end_left(self.layout)  # what a former supervisor left, and no part could go on with
        self._outer.close()

    def _settle(self) -> Facts:
        former = self.layout.facts()
        if former is None:
            self._verify_addresses(served=False)  # before anything is founded: what is founded keeps its name
        unnamed = former is None and self._options.facts is None
        facts = self.layout.settle(self._options.facts)
        self._outer.enter_context(instance_lock(self.layout))
        if unnamed:
            self._say(f"first start: it is called {facts.trust_domain} for ever; --trust-domain gives it another name")
        self._nation = settle(self.layout, wanted=self._options.nation, people=self._options.people)
        free, room = shutil.disk_usage(self.layout.state).free, _ROOM_BYTES * (2 if self._nation else 1)
        if free < room:
            raise EngineError(
                f"less than {room >> 20} MiB are free under {self.layout.state}; free some, or name another"
                " directory with --state"
            )
        if former is not None:
            self._verify_addresses(served=self.layout.has_served(facts))
        if self._options.database_url is not None and (self.layout.state / "postgres" / "data").exists():
            raise EngineError(f"{self.layout.state} has a PostgreSQL of its own; leave --database-url out")
        self._outer.enter_context(Control(self.layout.supervisor, self.tell))
        return facts

    def _verify_addresses(self, *, served: bool) -> None:
        for option, listen in (("--listen", self._options.listen), ("--enrol-listen", self._options.enrolment)):
            if listen is not None and not (option == "--listen" and served):
                verify_listen(option, listen)

    def _see(self, part: str, runner: Runner) -> None:
        with self._told:
            self._seen[part] = seen = _Seen(runner)
            seen.look()

    def tick(self) -> None:
        """What is to be done about once a second: note what died, renew what ends."""
        with self._told:
            for seen in self._seen.values():
                seen.look()
        for broker in self.brokers:
            self._try(f"start and address of {broker.path}", broker.keep_running)
        parts = self._registry_parts
        if parts is None or parts.registry is None or parts.publisher is None:
            return
        registry, publisher = parts.registry, parts.publisher
        for broker in self.brokers:
            after = partial(broker.look_after, registry, publisher, parts.authority)
            self._try(f"credentials of {broker.path}", after)
        self._try("credentials of the registry and the ledger", parts.tick)

    def _try(self, what: str, do: Callable[[], None]) -> None:
        """What fails is told and waits for a minute."""
        if time.monotonic() < self._tick_after.get(what, 0.0):
            return
        try:
            do()
        except _TICK_FAILURES as error:
            self._tick_after[what] = time.monotonic() + _RETRY_SECONDS
            log.warning("%s are not looked after: %s; tried again in a minute", what, error)
        except Exception as error:
            # The supervisor's end would be the brokers': what nobody foresaw, a damaged file say, must not stop calls.
            self._tick_after[what] = time.monotonic() + _RETRY_SECONDS
            log.exception("%s are not looked after (%s); tried again in a minute", what, type(error).__name__)

    def tell(self) -> dict[str, Any]:
        """What only this process knows; for bus.up.report."""
        with self._told:
            seen = {name: one.tell() for name, one in self._seen.items()}
        parts = self._registry_parts
        if "postgres" in seen and parts is not None:
            seen["postgres"]["version"] = parts.server_version
        return {
            "phase": self._phase,
            "since_ms": self._began_ms,
            **self._guarded(),
            "postgres": seen.get("postgres"),
            "ledger": seen.get("ledger"),
            "brokers": {one.path: seen.get(f"broker {one.path}", {}) | one.tell() for one in self.brokers},
            "nation": None if self.nation is None else self._tell_nation(self.nation, seen),
            **(parts.tell() if parts is not None else {}),
        }

    @staticmethod
    def _tell_nation(nation: NationPart, seen: dict[str, dict[str, Any]]) -> dict[str, Any]:
        told = nation.tell()
        told["postgres"] = seen.get(SERVER, {})
        told["members"] = {path: seen.get(path, {}) | each for path, each in told["members"].items()}
        return told
