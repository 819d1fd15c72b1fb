"""Instance, brokers and parties of one demonstration, made, run and ended together.

    <folder>/instance    an instance as `govbus up` makes it; the parties' homes are in it (bus.demo.parties)
    <folder>/logs        what the parties wrote to stderr
    <folder>/evidence    bundles
    <folder>/stranger    credentials that no policy lists

Whatever runs ends in the reverse order of its start, however the demonstration ends: the supervisor last.
"""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from bus.demo.nation import BROKER, MODULES, TRUST_DOMAIN
from bus.demo.operator import Operator
from bus.demo.parties import Party, await_ready, end, launch
from bus.demo.report import DemoError
from bus.edge.instance_files import broker_yaml
from bus.engines.admin import EnvoyAdmin
from bus.engines.broker import Broker
from bus.engines.postgres import Postgres
from bus.engines.supervisor import Supervisor
from bus.exchange.config import ClientConfig, load_client_config
from bus.registry.policy import policy_document
from bus.up.background import start_supervisor
from bus.up.control import ask, ask_supervisor
from bus.up.layout import Facts, Layout
from bus.up.process import end_supervisor, supervisor_pid
from bus.up.running import Options, now_ms
from pki.authority import Authority
from pki.files import ensure_private_directory, write_atomic
from pki.identity import SubsystemId

__all__ = ["SUPERVISOR", "World", "make_world", "synthetic_sample"]

SUPERVISOR = "govbus up"
_ROOM_BYTES = 600 << 20  # two journals reserve their segments, PostgreSQL its own
_DISHONEST = "bus.demo.dishonest"
_ROLE = str.maketrans(".-", "__")  # from the name of a home to that of its database
_DELIVERY_S = 15.0
_END_S = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(slots=True)
class World:
    """What there is, and what of it runs."""

    folder: Path
    layout: Layout
    operator: Operator
    running: ExitStack
    parties: dict[str, Party] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """Exit statuses of parties that ran, and of the supervisor."""
    brokers: dict[str, Broker] = field(default_factory=dict)
    """Those beside the supervisor's."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        """In order, whoever presses what meanwhile: this process killed, the kernel ends all the others."""
        former = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
        try:
            self.running.close()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def start_instance(self, say: Callable[[str], None]) -> dict[str, Any]:
        """What `govbus up` does; what it tells when it is ready."""
        self.running.callback(self._end_instance)
        options, ready = Options(Facts(TRUST_DOMAIN, BROKER)), {}
        with closing(start_supervisor(self.layout, options, tethered=True)) as progress:
            for told in progress:
                if "failed" in told:
                    raise DemoError(told["failed"])
                ready = told.get("ready", {})  # told last, so nothing is closed early
                say(told.get("step", "ready"))
        return ready

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

    def launch_parties(self, tokens: dict[str, str], paths: Sequence[str]) -> None:
        """Start the ministries' PostgreSQL, then all providers at once; those that have a token enrol first.

        Await each before it is used.
        """
        started = [Party(path, self.home(path), self.logs / f"{self.home(path).name}.log") for path in paths]
        server = self.running.enter_context(Postgres(ensure_private_directory(self.layout.state / "nation")))
        self.running.callback(lambda: self.ended.update(end(started)))
        for party in started:
            module, database = MODULES.get(party.path, _DISHONEST), None
            if module != _DISHONEST:
                database = party.folder / "database"
                write_atomic(database, server.database(party.folder.name.translate(_ROLE)).dsn.encode())
            self.parties[party.path] = party
            launch(party, module, token=tokens.get(party.path, ""), database=database)

    def await_parties(self) -> None:
        """Until all that were launched serve."""
        for party in self.parties.values():
            if not party.port:
                await_ready(party)

    @property
    def logs(self) -> Path:
        """Where the parties' logs lie."""
        return self.folder / "logs"

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
        return self.layout.state / "subsystems" / path.replace("/", ".")

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


def make_world(folder: Path) -> World:
    """Take `folder`; nothing runs yet. Leaving the world ends what runs."""
    folder = ensure_private_directory(folder.absolute())
    running = ExitStack()
    running.callback(os.close, _lock(folder))
    if shutil.disk_usage(folder).free < _ROOM_BYTES:
        raise DemoError(
            f"less than {_ROOM_BYTES >> 20} MiB are free under {folder}; free some, or name another folder with --state"
        )
    for name in ("instance", "logs", "evidence"):
        ensure_private_directory(folder / name)
    layout = Layout(folder / "instance")
    return World(folder, layout, Operator(layout), running)


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


def synthetic_sample() -> dict[str, Any]:
    """Couples and wards that the register knows; asked of the adapters' own tool, since bus imports no adapter."""
    command = [sys.executable, "-m", "adapters.population.sample"]
    utf8 = os.environ | {"PYTHONIOENCODING": "utf-8"}
    ran = subprocess.run(command, capture_output=True, timeout=60, env=utf8, check=False)
    if ran.returncode != 0:
        raise DemoError("python -m adapters.population.sample does not work here; run `make env` again")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found
