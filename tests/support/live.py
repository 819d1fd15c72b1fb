"""An instance as an operator runs it: what `govbus up` starts, members enrolled by token, a provider that counts.

`make_live` is the instance's first life, a minute ago: enrolled signing keys begin 11 s after their event (protocol.md
1), and no test of a fault should wait for that. Afterwards nothing runs; `bus.up` starts it, as on any other day.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bus.registry.service_run import REGISTRY_PATH, RegistryServices  # isort: skip - before gRPC

from vn.administrative.v1 import administrative_pb2

from bus.edge.nation import contract_image
from bus.edge.ports import keep_ports
from bus.edge.publisher import Publisher
from bus.engines.postgres import Postgres
from bus.registry.change import Change
from bus.registry.contracts import contract_changes
from bus.registry.enrolment import issue_token, root_digest
from bus.registry.enrolment_client import enrol
from bus.registry.fold import Act
from bus.registry.grants import GrantMade
from bus.registry.members import MemberAdded
from bus.registry.registry import Registry
from bus.registry.services import ServiceOffered
from bus.registry.store import EventStore
from bus.registry.subsystems import EndpointsSet, SubsystemAdded
from bus.up import found
from bus.up.layout import REGISTRY, Facts, Layout
from pki.signer import FileSigner

__all__ = [
    "ACT",
    "BROKER",
    "BYSTANDER",
    "CALLER",
    "PURPOSE",
    "UNITS",
    "VISITOR",
    "Provider",
    "home_of",
    "make_live",
    "providing",
    "wait_until",
]

BROKER = "gov/ndc/broker-1"
UNITS = "gov/moha/units"
CALLER = "gov/moj/civil-status"
VISITOR = "gov/moj/court"
"""May do what CALLER may."""
BYSTANDER = "gov/moj/portal"
"""Never calls: what tests suspend and resume, so that there is something to publish."""
PURPOSE = "civil.birth"
ACT = Act("ops:test", "set up for a test")
SERVICE = "vn.administrative.v1.AdministrativeUnitService"
METHODS = tuple(f"/{SERVICE}/{name}" for name in ("GetUnit", "ListUnits"))
_AGO = timedelta(minutes=1)
_HOUR_MS = 3_600_000
_TOP = Path(__file__).resolve().parents[2]


def wait_until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when it holds; what is waited for takes a moment as a rule, on a loaded machine longer."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.05)


def home_of(layout: Layout, path: str) -> Path:
    """Where a subsystem is enrolled, and where the publisher delivers."""
    return layout.state / "subsystems" / path.replace("/", ".")


def make_live(state: Path) -> Layout:
    """Found the instance, let the members in, end everything."""
    layout, facts = Layout(state), Facts("bus.test.example", BROKER)
    layout.settle(facts)
    authority = found.make_keys(layout, facts, now=_earlier())
    with ExitStack() as stack:
        server = stack.enter_context(Postgres(state))
        registry = Registry(stack.enter_context(EventStore(server.database(REGISTRY))), _earlier_ms)
        found.found_registry(layout, facts, registry, authority, now=_earlier(), listen=None)
        found.provide_broker(layout, facts, facts.broker, registry, authority, _earlier_ms, running=False)
        signer = FileSigner.load(layout.policy_signing_key)
        stack.enter_context(Publisher(state, registry, signer, _earlier_ms))
        services = stack.enter_context(
            RegistryServices(state, registry, lambda: authority, signer.public_point, _earlier_ms, path=REGISTRY_PATH)
        )
        contracts, files = contract_changes(registry.state(), contract_image([administrative_pb2.DESCRIPTOR]))
        registry.record([*contracts, *_nation(layout)], ACT, files)
        for path in (UNITS, CALLER, VISITOR):
            token = issue_token(
                registry,
                path,
                ACT,
                server=REGISTRY_PATH,
                address=str(services.enrolment),
                root=root_digest(authority),
                secret=os.urandom(32),
                now_ms=_earlier_ms(),
            )
            enrol(token.text, home_of(layout, path), clock_ms=_earlier_ms, accept_operator_grants=True)
    return layout


def _nation(layout: Layout) -> list[Change]:
    port, now_ms = keep_ports(layout.state, [UNITS])[UNITS], _earlier_ms()
    return [
        MemberAdded("gov", "moha", "Bộ Nội vụ", "Ministry of Home Affairs"),
        MemberAdded("gov", "moj", "Bộ Tư pháp", "Ministry of Justice"),
        *(SubsystemAdded(path) for path in (UNITS, CALLER, VISITOR, BYSTANDER)),
        EndpointsSet(UNITS, (f"127.0.0.1:{port}",)),
        ServiceOffered(UNITS, SERVICE),
        GrantMade("units", CALLER, UNITS, METHODS, (PURPOSE,), now_ms, now_ms + 24 * _HOUR_MS),
        GrantMade("visits", VISITOR, UNITS, METHODS, (PURPOSE,), now_ms, now_ms + 24 * _HOUR_MS),
    ]


def _earlier() -> datetime:
    return datetime.now(UTC) - _AGO


def _earlier_ms() -> int:
    return int(_earlier().timestamp() * 1000)


class Provider:
    """UNITS as a process of its own (tests.support.live_provider); what it did outlives it in `effects`."""

    def __init__(self, layout: Layout, effects: Path) -> None:
        self._config, self.effects = home_of(layout, UNITS) / "config.yaml", effects
        self.log = effects.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens."""
        command = [sys.executable, "-m", "tests.support.live_provider", str(self._config), str(self.effects)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=_TOP, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith(b"serving on port ")

    def end(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal."""
        process, self.process = self.process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            process.communicate(timeout=60)

    def done(self) -> Counter[str]:
        """How often each idempotency key had its effect."""
        return Counter(self.effects.read_text().split()) if self.effects.exists() else Counter()


@contextmanager
def providing(layout: Layout, effects: Path) -> Iterator[Provider]:
    """A provider that runs."""
    provider = Provider(layout, effects)
    provider.start()
    try:
        yield provider
    finally:
        provider.end()
