"""One broker as a part of a running instance: started, its certificate and its signing key replaced before they end.

A certificate is renewed at two thirds of its life, or when it was revoked; recorded first, and used when every reader
has the snapshot that names it (bus.up.broker). The signing key is replaced 30 days before its end, or once it was
revoked (bus.up.signing_key); the gate takes the new one at its next start, which is at most a week later.
"""

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bus.edge.endpoint import Endpoint
from bus.edge.publisher import Publisher
from bus.engines.broker import Broker
from bus.engines.supervisor import EngineError
from bus.registry.fold import Act
from bus.registry.registry import Registry
from bus.up import found
from bus.up.broker import Fresh, is_due, live_digest, make_fresh
from bus.up.layout import Facts, Layout
from bus.up.signing_key import rotate_signing_key, signing_key_end
from pki.authority import Authority

__all__ = ["BrokerPart"]

_KEY_SECONDS = 10.0

log = logging.getLogger(__name__)


class BrokerPart:
    """Between `start` and `stop`."""

    def __init__(self, layout: Layout, facts: Facts, path: str, collector: Endpoint | None = None) -> None:
        """Nothing happens yet. `collector` gets its spans, whatever its file says."""
        self._layout, self._facts, self.path, self._collector = layout, facts, path, collector
        self.home = layout.broker_home(path)
        self.broker: Broker | None = None
        self._renewal: tuple[Fresh, int] | None = None
        self._key_look_at = 0.0
        self.key_ends_ms: int | None = None
        """When its signing key ends, as the registry last said."""

    def start(self) -> Broker:
        """Envoy serves when this returns; EngineError otherwise."""
        self.broker = broker = Broker(self.home, self._collector)
        broker.start()
        return broker

    def stop(self) -> None:
        """Drain and end."""
        if self.broker is not None:
            self.broker.stop()

    @property
    def address(self) -> str:
        """Where it listens; empty before its start."""
        return str(self.broker.config.listen) if self.broker else ""

    def look_after(self, registry: Registry, publisher: Publisher, authority: Callable[[], Authority]) -> None:
        """About once a second: replace what ends. Whatever Registry.record and Authority raise."""
        try:
            self._renew_certificate(registry, publisher, authority)
            if time.monotonic() >= self._key_look_at:
                self._key_look_at = time.monotonic() + _KEY_SECONDS
                rotate_signing_key(self.home, self.path, registry, time.time_ns() // 1_000_000)
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
        told: dict[str, Any] = {"in_force": 0, "calls": {}, "key_ends_ms": self.key_ends_ms}
        if self.broker is not None:
            with contextlib.suppress(OSError, EngineError, LookupError, ValueError):
                dump = self.broker.envoy.admin.config_dump("ecds_filters")
                told["in_force"] = int(dump["configs"][0]["version_info"] or 0)
                told["calls"] = self.broker.statistics()
        return told
