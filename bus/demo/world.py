"""Instance, nation and what the demonstration adds, made, run and ended together.

    <state>/             an instance with a nation, as `govbus up --nation` makes it
    <state>/demo/        evidence/: bundles; stranger/: credentials that no policy lists

Whatever runs ends in the reverse order of its start, however the demonstration ends: the supervisor last.
"""

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Generator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from bus.demo.additions import BROKER, TRUST_DOMAIN
from bus.demo.operator import Operator
from bus.demo.report import DemoError
from bus.edge.instance_files import broker_yaml
from bus.engines.admin import EnvoyAdmin
from bus.engines.broker import Broker
from bus.engines.supervisor import Supervisor
from bus.exchange.config import ClientConfig, load_client_config
from bus.nation import places
from bus.nation.running import MemberPart
from bus.nation.settled import settled
from bus.registry.policy import policy_document
from bus.up.background import start_supervisor
from bus.up.control import ask, ask_supervisor
from bus.up.layout import Facts, Layout
from bus.up.options import Options
from bus.up.preflight import verify_state
from bus.up.process import end_supervisor, supervisor_pid
from bus.up.running import now_ms
from pki.authority import Authority
from pki.files import ensure_private_directory, write_atomic
from pki.identity import SubsystemId

__all__ = ["DEFAULT_PEOPLE", "SUPERVISOR", "World", "make_world"]

DEFAULT_PEOPLE: Final = 10_000
"""Of the nation; `govbus up --nation` has more, which take longer to be made."""
SUPERVISOR: Final = "govbus up"
_ROOM_BYTES: Final = 800 << 20  # two journals reserve their segments, each PostgreSQL its own
_DELIVERY_S: Final = 15.0
_END_S: Final = 60.0
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class World:
    """What there is, and what of it runs."""

    layout: Layout
    people: int
    operator: Operator
    running: ExitStack
    ended: dict[str, int] = field(default_factory=dict)
    """The supervisor's exit status, once it ended."""
    brokers: dict[str, Broker] = field(default_factory=dict)
    """Those beside the supervisor's."""
    _mirror: MemberPart | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """In order, whoever presses what meanwhile: this process killed, the kernel ends all the others."""
        former = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
        if raised[0] is KeyboardInterrupt:
            print("govbus: stopping everything in order, some seconds", file=sys.stderr, flush=True)
        try:
            self.running.close()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def start_instance(self) -> Generator[dict[str, Any], None, None]:
        """What `govbus up --nation` does; what it tells until it is ready. Closed early, it ends."""
        self.running.callback(self._end_instance)
        options = Options(Facts(TRUST_DOMAIN, BROKER), nation=True, people=self.people)
        with closing(start_supervisor(self.layout, options, tethered=True)) as progress:
            for told in progress:
                if "failed" in told:
                    raise DemoError(told["failed"])
                yield told

    def start_broker(self, path: str) -> None:
        """Start another broker of the instance, unless the supervisor found it and did; it ends with the world."""
        if path in self.told("brokers"):
            return
        home = self.broker_home(path)
        document = policy_document(self.operator.state(), now_ms())
        write_atomic(home / "broker.yaml", broker_yaml(document, self.identity(path)))
        Supervisor.pause_until((home / "endpoints.json").exists, _DELIVERY_S)  # by the publisher, within a second
        self.brokers[path] = broker = Broker(home)
        self.running.callback(self._stop_broker, path)
        broker.start()

    def restart_broker(self, path: str) -> None:
        """Its process ends in order, and another one takes its place."""
        if path in self.brokers:
            self._stop_broker(path)
            self.start_broker(path)
            return
        former = self.broker_process(path)
        if former is not None:
            os.kill(former, signal.SIGTERM)
        Supervisor.pause_until(lambda: self.broker_process(path) not in (None, former), _DELIVERY_S)

    def broker_process(self, path: str) -> int | None:
        """The process that serves now."""
        if path in self.brokers:
            return self.brokers[path].envoy.supervisor.pid
        found: int | None = self.told("brokers").get(path, {}).get("pid")
        return found

    def _stop_broker(self, path: str) -> None:
        broker = self.brokers.pop(path, None)
        if broker is not None:
            broker.stop()

    def keep_mirror(self, mirror: MemberPart) -> None:
        """Start the provider that cheats; it ends with the world."""
        self._mirror = mirror
        self.running.callback(mirror.stop)
        mirror.begin()

    def await_mirror(self, seconds: float) -> None:
        """Until it serves; EngineError if it does not."""
        if self._mirror is not None:
            self._mirror.supervisor.wait_ready(seconds)

    def give_up_mirror(self) -> None:
        """Whoever awaits it waits no longer."""
        if self._mirror is not None:
            self._mirror.supervisor.cancel()

    @property
    def folder(self) -> Path:
        """What is the demonstration's own, and no part of the instance."""
        return self.layout.state / "demo"

    def authority(self) -> Authority:
        """The instance's own: only its operator can read it."""
        return Authority.open(self.layout.state, TRUST_DOMAIN, now=datetime.now(UTC))

    def client(self, path: str, *, through: str = BROKER) -> ClientConfig:
        """A subsystem's client configuration, with one broker only: nothing here falls back to another."""
        config = load_client_config(self.home(path) / "config.yaml")
        wanted = self.spiffe_id(through)
        return ClientConfig(config.identity, tuple(one for one in config.brokers if one.spiffe_id == wanted))

    def home(self, path: str) -> Path:
        """Where a subsystem has its keys, and the publisher brings its policy."""
        return places.home(self.layout, path)

    def broker_home(self, path: str) -> Path:
        """A broker's."""
        return self.layout.broker_home(path)

    def identity(self, path: str) -> SubsystemId:
        """A subsystem's."""
        return SubsystemId(TRUST_DOMAIN, *path.split("/"))

    def spiffe_id(self, path: str) -> str:
        """The full name of a subsystem."""
        return self.identity(path).spiffe_id

    def journal(self, path: str = BROKER) -> Path:
        """A broker's journal."""
        return self.broker_home(path) / "journal"

    def sent_on(self) -> int:
        """How many requests the running brokers have sent to providers since they started, as Envoy counts them."""
        pattern = r"cluster\..*\.upstream_rq_total$"
        notes = self.layout.state.glob("brokers/*/envoy/run-directory")
        admins = [EnvoyAdmin(Path(os.fsdecode(note.read_bytes())) / "admin") for note in notes]
        return sum(sum(admin.stats(pattern).values()) for admin in admins)

    def told(self, part: str) -> dict[str, Any]:
        """What the supervisor says of one of its parts."""
        found: dict[str, Any] = (ask_supervisor(self.layout) or {}).get(part) or {}
        return found

    def ledger(self) -> dict[str, Any]:
        """What the ledger's process says of itself."""
        return ask(self.layout.ledger_writer) or {}

    def _end_instance(self) -> None:
        pid = supervisor_pid(self.layout)
        if end_supervisor(self.layout, _END_S) and pid is not None:
            with suppress(ChildProcessError):
                self.ended[SUPERVISOR] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def make_world(state: Path, people: int | None) -> World:
    """Take the directory; nothing runs yet. Leaving the world ends what runs."""
    layout = Layout(state.absolute())
    verify_state(layout)
    running = ExitStack()
    running.callback(os.close, _lock(layout.state))
    if shutil.disk_usage(layout.state).free < _ROOM_BYTES:
        raise DemoError(
            f"less than {_ROOM_BYTES >> 20} MiB are free under {layout.state}; free some, or name another directory"
            " with --state"
        )
    for name in ("", "evidence"):
        ensure_private_directory(layout.state / "demo" / name)
    known = settled(layout)
    return World(layout, people or (known.people if known else DEFAULT_PEOPLE), Operator(layout), running)


def _lock(folder: Path) -> int:
    """One demonstration in one folder: a second would use the keys of the first one."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DemoError(
            f"a demonstration already runs in {folder}; wait for its end, or name another folder"
        ) from error
    return descriptor
