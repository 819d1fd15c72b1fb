"""One broker as a part of a running instance: started, its certificate and its signing key replaced before they end.

It starts on a thread of its own (`begin`), so that nothing waits for it, nor it for anything: where its signing key is
not in force yet it waits for that, saying so. Where broker.yaml comes to say another address it is started again there.

A certificate is renewed at two thirds of its life, or when it was revoked; recorded first, and used when every reader
has the snapshot that names it (bus.up.broker). The signing key is replaced 30 days before its end, or once it was
revoked (bus.up.signing_key); the gate takes the new one at its next start, which is at most a week later.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bus.edge.broker_file import load_broker_config
from bus.edge.endpoint import Endpoint
from bus.edge.publisher import Publisher
from bus.engines.broker import Broker
from bus.engines.records import Records
from bus.engines.runner import Runner
from bus.engines.share import Share
from bus.engines.supervisor import EngineError
from bus.registry.fold import Act
from bus.registry.registry import Registry
from bus.up import found
from bus.up.broker import Fresh, is_due, live_digest, make_fresh
from bus.up.clock import now_ms
from bus.up.layout import Facts, Layout
from bus.up.signing_key import rotate_signing_key, signing_key_end
from pki.authority import Authority

__all__ = ["BrokerPart"]

_KEY_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_START_SECONDS = 60.0

log = logging.getLogger(__name__)


class BrokerPart:
    """Between `begin` and `stop`."""

    def __init__(
        self,
        layout: Layout,
        facts: Facts,
        path: str,
        see: Callable[[str, Runner], None],
        collector: Endpoint | None = None,
        share: Share | None = None,
        records: Records | None = None,
    ) -> None:
        """Nothing happens yet. `see` is told of its Envoy. `collector` gets its spans, whatever its file says.

        With a `share` its Envoy is another container's, and is not waited for. With `records` it goes on without us.
        """
        self._layout, self._facts, self.path, self._see = layout, facts, path, see
        self._collector, self._share, self._records = collector, share, records
        self.home = layout.broker_home(path)
        self.broker: Broker | None = None
        self.waits = ""
        """What its start waits for, `starts at ...`; empty while it waits for nothing."""
        self._failure: Exception | None = None
        self._stopping, self._settled = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._renewal: tuple[Fresh, int] | None = None
        self._key_look_at = 0.0
        self.key_ends_ms: int | None = None
        """When its signing key ends, as the registry last said."""

    def begin(self) -> None:
        """Start it and go on; `serves` tells what came of that. Again after a failure or `stop`."""
        self._stopping.clear()
        self._settled.clear()
        self.waits, self._failure = "", None
        self._thread = threading.Thread(target=self._start, name=f"broker-{self.path}", daemon=True)
        self._thread.start()

    def serves(self) -> bool:
        """Whether Envoy serves, once its start has come to something; False before `begin` and while it waits."""
        if self._thread is None:
            return False
        self._settled.wait(_START_SECONDS)
        return self._settled.is_set() and not self.waits and self._failure is None

    def wait(self, say: Callable[[str], None]) -> None:
        """Until Envoy serves, or for a minute if it has to wait, which is said; whatever its start raised."""
        end = time.monotonic() + _START_SECONDS
        told = ""
        while not self.serves() and time.monotonic() < end:
            if self._failure is not None:
                raise self._failure
            if self.waits not in ("", told):
                told = self.waits
                say(f"broker {self.path}: {told}")
            self._stopping.wait(_LOOK_SECONDS)

    @property
    def to_begin(self) -> bool:
        """Whether it was never begun, or its start failed."""
        return self._thread is None or self._failure is not None

    def stop(self) -> None:
        """Drain and end."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self.broker is not None:
            self.broker.stop()

    @property
    def address(self) -> str:
        """Where it listens; empty before its start."""
        return str(self.broker.config.listen) if self.broker else ""

    def keep_running(self) -> None:
        """About once a second: try a start that failed again, follow the address; whatever that start raises."""
        if self.to_begin:
            self.begin()
            self.wait(log.info)
        self.follow_address()

    def follow_address(self) -> None:
        """Start it again where broker.yaml has another address than it serves at; whatever that start raises."""
        if self.broker is None or load_broker_config(self.home).listen == self.broker.config.listen:
            return
        log.warning("%s is started again: the registry gives it another address", self.path)
        self.stop()
        self.begin()
        self.wait(log.info)

    def _start(self) -> None:
        try:
            self.broker = broker = Broker(self.home, self._collector, self._share, records=self._records)
            while obstacle := broker.obstacle():
                if obstacle != self.waits:
                    log.warning("%s %s", self.path, obstacle)
                self.waits = obstacle
                self._settled.set()
                if self._stopping.wait(_LOOK_SECONDS):
                    return
            broker.start()
            self._see(f"broker {self.path}", broker.envoy.runner)
        except Exception as error:  # noqa: BLE001 (raised to who waits)
            self._failure = error
        self.waits = ""
        self._settled.set()

    def look_after(self, registry: Registry, publisher: Publisher, authority: Callable[[], Authority]) -> None:
        """About once a second: replace what ends. Whatever Registry.record and Authority raise."""
        try:
            self._renew_certificate(registry, publisher, authority)
            if time.monotonic() >= self._key_look_at:
                self._key_look_at = time.monotonic() + _KEY_SECONDS
                rotate_signing_key(self.home, self.path, registry, now_ms)
                self.key_ends_ms = signing_key_end(self.home, registry.state().keys)
        except Exception:
            self._renewal = None
            raise

    def _renew_certificate(self, registry: Registry, publisher: Publisher, authority: Callable[[], Authority]) -> None:
        if self._renewal is not None:
            fresh, position = self._renewal
            if publisher.last is not None and publisher.last.log_position >= position:
                fresh.use(self.home)
                self._renewal = None
                log.info("%s has a new certificate", self.path)
        elif self._revoked(registry) or is_due(self.home, datetime.now(UTC)):
            identity = self._layout.identity(self._facts, self.path)
            fresh = make_fresh(authority(), identity, now=datetime.now(UTC))
            (event,) = registry.record([fresh.change], Act(found.SUPERVISOR, "certificate of the broker renewed"))
            self._renewal = fresh, event.position

    def _revoked(self, registry: Registry) -> bool:
        """Whether its certificate left the policy: its issuing CA was revoked, for one."""
        return live_digest(self.home) not in registry.newest.certificates

    def tell(self) -> dict[str, Any]:
        """What its Envoy says; for bus.up.report."""
        told: dict[str, Any] = {
            "in_force": 0,
            "calls": {},
            "key_ends_ms": self.key_ends_ms,
            "waits": self.waits,
        }
        if self.broker is not None:
            with contextlib.suppress(OSError, EngineError, LookupError, ValueError, TypeError):
                if self._share is not None and not self.broker.envoy.runner.ready:
                    told["waits"] = "starts when Envoy's own container or unit starts it; why not: the log of that"
                dump = self.broker.envoy.admin.config_dump("ecds_filters")
                told["in_force"] = int(dump["configs"][0]["version_info"] or 0)
                told["calls"] = self.broker.statistics()
        return told
