"""A nation as a part of a running instance: its founding, the ministries' server and the members, all at once.

1. Members, their server and the instance start side by side; each waits only for what it needs itself.
2. What the registry does not know yet is recorded when the registry is there; a member that has enrolled before, and
   its calls, wait for no registry.
3. All is ready when every member serves and its signing key has started: a new one starts some seconds after it was
   published. A member that does not start holds up nobody: it is tried again, and `tell` says why.
"""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg

from bus.edge.ports import keep_ports
from bus.engines.records import Records
from bus.engines.supervisor import EngineError, Supervisor
from bus.nation.behind import Reach, kept_apart, ports_kept
from bus.nation.founding import founding
from bus.nation.members import PROGRAMS
from bus.nation.places import home, log_file, nation_directory
from bus.nation.plan import plan
from bus.nation.reach import KnownReach
from bus.nation.running import MemberPart
from bus.nation.server import Ministries
from bus.nation.settled import Settled
from bus.registry.fold import Act
from bus.registry.refusal import Refusal
from bus.up.clock import now_ms
from bus.up.found import SUPERVISOR
from bus.up.layout import Layout
from bus.up.options import Options
from bus.up.registry_parts import RegistryParts
from pki.files import ensure_private_directory

__all__ = ["SERVER", "NationPart"]

SERVER: Final = "nation postgres"
"""The ministries' server among the parts."""
_FOUNDING: Final = Act(SUPERVISOR, "the nation's founding")
_START_SECONDS: Final = 180.0
_REGISTRY_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05
_MANY_STARTS: Final = 5
_SETTLED_MS: Final = 300
"""A gate's own thread takes the policy in some milliseconds after it was handed over."""

log = logging.getLogger(__name__)


class NationPart:
    """Between `begin` and `stop`."""

    def __init__(
        self,
        layout: Layout,
        settled: Settled,
        options: Options,
        parts: RegistryParts,
        see: Callable[[str, Supervisor], None],
        records: Records | None = None,
    ) -> None:
        """`see` is told of each child. With `records` all of it goes on without this process. Nothing is begun yet."""
        self._layout, self._settled, self._parts = layout, settled, parts
        for directory in (nation_directory(layout), nation_directory(layout) / "logs", layout.state / "subsystems"):
            ensure_private_directory(directory)
        self._plan = plan()
        kept = keep_ports(layout.state, sorted(self._plan.offers))
        self._ports = {path: kept[path] for path in self._plan.offers}
        self._obstacle = ""
        self._founded, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._found, name="nation", daemon=True)
        self._server = Ministries(nation_directory(layout), lambda supervisor: see(SERVER, supervisor), records)
        self._apart = kept_apart()
        collector = options.collector
        self._ports_kept = ports_kept()
        self._known = KnownReach(nation_directory(layout), self._ports, None if collector is None else collector.port)
        variables = {} if collector is None else {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector}"}
        self.members = tuple(
            MemberPart(
                program,
                home(layout, program.path),
                log_file(layout, program.path),
                people=settled.people,
                variables=variables,
                token=self._token,
                provide=self._server.provide,
                sockets=self._server.sockets,
                reach=self._reach,
                apart=self._apart,
                records=records,
            )
            for program in PROGRAMS
        )
        for member in self.members:
            see(member.program.path, member.supervisor)

    def begin(self) -> None:
        """Start everything and go on."""
        self._server.begin()
        self._thread.start()
        for member in self.members:
            member.begin()

    def wait(self, say: Callable[[str], None], is_to_end: Callable[[], bool]) -> None:
        """Until all is ready (3), `is_to_end`, or nothing is to be expected soon; who gets ready is said."""
        until, obstacle = time.monotonic() + _START_SECONDS, ""
        told: set[str] = set()
        while time.monotonic() < until and not is_to_end():
            if (found := self._obstacle or self._server.failure) != obstacle:
                obstacle = found
                say(f"nation: tried again every 5 s: {obstacle}" if obstacle else "nation: what was in the way is gone")
            ready = {member.program.path for member in self.members if member.ready}
            if ready - told:
                say(f"nation: {len(ready)} of {len(self.members)} members serve, now {', '.join(sorted(ready - told))}")
                told |= ready
            if all(member.ready or self._is_stuck(member) for member in self.members):
                break
            time.sleep(_LOOK_SECONDS)
        self._wait_keys(say, is_to_end)

    def stop(self) -> None:
        """End all members at once, then their server."""
        self._stopping.set()
        self._founded.set()
        self._server.release()
        with ThreadPoolExecutor(len(self.members)) as pool:
            list(pool.map(MemberPart.stop, self.members))
        if self._thread.is_alive():
            self._thread.join()
        self._server.stop()

    def tell(self) -> dict[str, Any]:
        """For bus.up.report_nation."""
        starts = self._key_starts_ms()
        return {
            "people": self._settled.people,
            "apart": str(self._apart),
            "ports_kept": self._ports_kept,
            "founded": self._founded.is_set(),
            "server_waits": self._server.failure,
            "members": {
                one.program.path: {
                    "serves": one.serves if one.ready else "",
                    "waits": one.obstacle() if one.waits or one.supervisor.starts > 1 else "",
                    "key_starts_ms": starts.get(one.program.path, 0),
                }
                for one in self.members
            },
        }

    def summary(self) -> dict[str, Any]:
        """What a start says at its end."""
        waiting = {one.program.path: one.obstacle() for one in self.members if not one.ready}
        return {"people": self._settled.people, "members": len(self.members), "waiting": waiting}

    def _is_stuck(self, member: MemberPart) -> bool:
        """Whether there is no use in waiting for it: it ends again and again, or has no registry to enrol at."""
        return member.supervisor.starts >= _MANY_STARTS or bool(member.waits and self._parts.waiting)

    def _wait_keys(self, say: Callable[[str], None], is_to_end: Callable[[], bool]) -> None:
        """Until the newest signing key of those who serve has started."""
        starts = self._key_starts_ms()
        last = max((starts.get(one.program.path, 0) for one in self.members if one.ready), default=0)
        seconds = (last + _SETTLED_MS - now_ms()) / 1000
        if last and seconds > 0:
            say(f"nation: the new signing keys start in {seconds:.0f} s, so that every broker knows them by then")
            Supervisor.pause_until(is_to_end, seconds)

    def _key_starts_ms(self) -> dict[str, int]:
        """Of whoever has no key that has started: when its first one does."""
        registry, now = self._parts.registry, now_ms()
        found: dict[str, int] = {}
        if registry is not None:
            keys = [one for one in registry.newest.keys.values() if one.last_ms >= now]
            for one in sorted(keys, key=lambda key: key.not_before_ms, reverse=True):
                found[one.subsystem] = one.not_before_ms
        return {path: start for path, start in found.items() if start + _SETTLED_MS > now}

    def _token(self, path: str) -> str:
        """For a member that is to enrol; EngineError while nobody can."""
        if not self._founded.wait(_REGISTRY_SECONDS) or self._stopping.is_set():
            raise EngineError("it enrols when the registry is there")
        return self._parts.token(path, Act(SUPERVISOR, "a member of the nation enrols"))

    def _reach(self, path: str, token: str) -> Reach:
        registry = self._parts.registry
        return self._known.of(
            path, registry.newest if registry is not None and registry.newest.position else None, token
        )

    def _found(self) -> None:
        while not self._stopping.is_set():
            registry = self._parts.registry
            if registry is None or not self._parts.enrols:
                self._stopping.wait(_LOOK_SECONDS)
                continue
            try:
                changes, files = founding(self._plan, registry.state(), self._ports, now_ms())
                if changes:
                    registry.record(changes, _FOUNDING, files)
                    log.info("the nation is founded: %d changes", len(changes))
                self._known.note(registry.newest)
                self._obstacle = ""
                self._founded.set()
            except (EngineError, Refusal, psycopg.Error, OSError) as error:
                self._obstacle = str(error)
                log.warning("the nation is not founded yet: %s", error)
                self._stopping.wait(_AGAIN_SECONDS)
            else:
                return
