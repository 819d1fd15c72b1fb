"""What the demonstration adds joins the instance while the nation still starts, on a thread of its own.

Registered as soon as the nation is founded, then enrolled by tokens: the tax office and the second broker here, the
provider that cheats as a process of its own behind its fence, as every member of the nation (bus.nation.running).
"""

import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509

from bus.demo.additions import MIRROR, OTHER_BROKER, TAX, UNIT_SERVICE, additions
from bus.demo.report import DemoError
from bus.demo.world import World
from bus.edge.ports import keep_ports
from bus.engines.supervisor import EngineError
from bus.exchange.errors import CallError
from bus.nation.behind import kept_apart
from bus.nation.clocks import settle_soon
from bus.nation.founding import founding
from bus.nation.members import Program
from bus.nation.places import log_file, nation_directory
from bus.nation.reach import KnownReach
from bus.nation.running import MemberPart
from bus.registry.enrolment_client import AlreadyEnrolled, enrol
from bus.up.running import now_ms
from pki.files import ensure_private_directory

__all__ = ["Joining"]

_PROGRAM: Final = Program(MIRROR, "bus.demo.dishonest", UNIT_SERVICE, frozenset())
_LEFT: Final = timedelta(hours=1)
_FOUNDED_S: Final = 180.0
_LOOK_S: Final = 0.2
_READY_S: Final = 60.0


class Joining:
    """Between `with` and its end; at the end it is done, or was given up."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(1, "joining")
        self._done: Future[None] | None = None

    def __enter__(self) -> Self:
        self._done = self._pool.submit(self._join)
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._world.give_up_mirror()
        self._pool.shutdown()

    def wait(self) -> None:
        """Until all have joined; DemoError when one could not."""
        if self._done is not None:
            self._done.result()

    def _join(self) -> None:
        world = self._world
        until = time.monotonic() + _FOUNDED_S
        while not world.told("nation").get("founded") and time.monotonic() < until:
            if self._stopping.wait(_LOOK_S):
                return
        plan = additions()
        ports = keep_ports(world.layout.state, [*plan.offers, *plan.brokers])
        ports = {path: ports[path] for path in (*plan.offers, *plan.brokers)}
        changes, files = founding(plan, world.operator.state(), ports, now_ms())
        if changes:
            world.operator.record(changes, "the demonstration's own members", files)
        self._begin_mirror()
        try:
            for path, home in ((TAX, world.home(TAX)), (OTHER_BROKER, world.broker_home(OTHER_BROKER))):
                self._enrol(path, home)
            world.await_mirror(_READY_S)
        except (CallError, AlreadyEnrolled, EngineError) as error:
            raise DemoError(f"the demonstration's own members could not join: {error}") from error

    def _enrol(self, path: str, home: Path) -> None:
        if self._stopping.is_set() or _enrolled(home):
            return
        token = self._world.operator.token(path, self._world.authority())
        enrol(token, ensure_private_directory(home), clock_ms=now_ms)
        if path != OTHER_BROKER:
            settle_soon(home)

    def _begin_mirror(self) -> None:
        world, log = self._world, log_file(self._world.layout, MIRROR)
        known = KnownReach(nation_directory(world.layout), {})
        ensure_private_directory(log.parent)
        world.keep_mirror(
            MemberPart(
                _PROGRAM,
                world.home(MIRROR),
                log,
                people=0,
                variables={},
                token=lambda path: world.operator.token(path, world.authority()),
                provide=lambda _, home: home,  # it has no database
                sockets=tuple,
                reach=lambda path, token: known.of(path, world.operator.state(), token),
                apart=kept_apart(),
            )
        )


def _enrolled(home: Path) -> bool:
    """Whether it has a certificate for another hour; what is left of an older one is removed."""
    try:
        found = x509.load_pem_x509_certificate((home / "tls" / "chain.pem").read_bytes())
    except FileNotFoundError:
        return False
    if found.not_valid_after_utc - datetime.now(UTC) > _LEFT:
        return True
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return False
