"""The ledger as a part of a running instance: its process kept alive, its presence on the bus looked after.

The process (bus.up.ledger_process) is a child, so that its CPU is never the supervisor's, and needs nobody to integrate
journals. What needs the registry and the authority is done here: it is a member's subsystem, `<operator>/ledger`.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

from bus.registry.enrolment_server import wait_published  # isort: skip - before gRPC

from govbus.ledger.v1 import ledger_pb2

from bus.edge.endpoint import Endpoint
from bus.edge.ports import keep_ports
from bus.engines.logs import RotatingLog
from bus.engines.postgres_environment import libpq_variables
from bus.engines.supervisor import Launch, Supervisor
from bus.ledger.registry_source import RegistrySource
from bus.registry.fold import Act
from bus.registry.registry import Registry
from bus.registry.service_home import HomePlan, provide_home
from bus.up.control import ask
from bus.up.layout import Facts, Layout, ledger_path
from bus.up.signing_key import Step, rotate_signing_key, signing_key_end
from pki.authority import Authority
from pki.files import ensure_private_directory
from pki.identity import SubsystemId
from pki.signer import FileSigner

__all__ = ["LedgerPart"]

_ACT: Final = Act("govbus:ledger", "the ledger's own presence on the bus")
_LOOK_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


class LedgerPart:
    """Between `begin` and `stop`."""

    def __init__(self, layout: Layout, facts: Facts, clock_ms: Callable[[], int]) -> None:
        """Nothing happens yet."""
        self._layout, self._facts, self._clock_ms = layout, facts, clock_ms
        self._home = ensure_private_directory(layout.ledger_writer)
        self._look_at = 0.0
        self.key_ends_ms: int | None = None
        """When its signing key on the bus ends, as the registry last said."""
        self.supervisor = Supervisor(
            "ledger",
            prepare=self._prepare,
            probe=self._probe,
            drain=lambda: None,
            log=RotatingLog(self._home / "ledger.log"),
        )

    def begin(self) -> None:
        """Start the process and do not wait for it: nobody else needs it."""
        self.supervisor.begin()

    def provide(self, registry: Registry, authority: Callable[[], Authority]) -> None:
        """About once a second: what the registry must say of it, its certificate and its signing key.

        Whatever provide_home raises.
        """
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + _LOOK_SECONDS
        state, path = self._layout.state, ledger_path(self._facts)
        plan = HomePlan(
            SubsystemId(self._facts.trust_domain, *path.split("/")),
            self._layout.ledger_home(self._facts),
            Endpoint("127.0.0.1", keep_ports(state, (path,))[path]),
            FileSigner.load(self._layout.policy_signing_key).public_point,
            _ACT,
            (ledger_pb2.DESCRIPTOR,),
        )
        provide_home(plan, registry, authority(), self._clock_ms, wait_published(state / "snapshots"))
        if rotate_signing_key(plan.home, path, registry, self._clock_ms) is Step.REPLACED:
            self.supervisor.restart()
        self.key_ends_ms = signing_key_end(plan.home, registry.state().keys)

    def wait_following(self, seconds: float, *, without_registry: bool) -> bool:
        """Wait until every source was read to its end once; False after `seconds`, and when it stands still."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            told = ask(self._home) or {}
            if told.get("halted"):
                return False
            sources = dict(told.get("sources") or {})
            if without_registry:
                sources.pop(RegistrySource.name, None)
            if sources and all(one["lag_ms"] is not None and not one["error"] for one in sources.values()):
                return True
            time.sleep(_POLL_SECONDS)
        return False

    def stop(self) -> None:
        """End the process; what was acknowledged by then is integrated, or will be after the next start."""
        self.supervisor.stop()

    def _prepare(self) -> Launch:
        command = [sys.executable, "-I", "-m", "bus.up.ledger_process", str(self._layout.state)]
        # Its socket lies where all others do: a unit's own /tmp is nobody's who asks from outside.
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC", "TMPDIR": tempfile.gettempdir()}
        return Launch(command, {**environment, **libpq_variables()})  # our own PostgreSQL ignores them there, too

    def _probe(self) -> bool:
        told: dict[str, Any] | None = ask(self._home)
        return told is not None and told["pid"] == self.supervisor.pid
