"""Instance, brokers and parties of one demonstration, made, run and ended together.

    <folder>/instance    what `govbus instance` works on
    <folder>/parties     see bus.demo.parties
    <folder>/logs        what the parties wrote to stderr
    <folder>/evidence    bundles

Whatever runs ends in the reverse order of its start, however the demonstration ends.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from bus.demo.nation import BROKER, MIRROR, MODULES, UNITS, nation
from bus.demo.parties import Party, await_ready, end, enroll, launch
from bus.demo.report import DemoError
from bus.edge.instance import Instance, make_instance
from bus.engines.broker import Broker
from bus.exchange.config import ClientConfig, load_client_config
from pki.files import ensure_private_directory

__all__ = ["World", "make_world", "synthetic_sample"]

_ROOM_BYTES = 400 << 20  # two journals reserve their segments
_DISHONEST = "bus.demo.dishonest"


@dataclass(slots=True)
class World:
    """What there is, and what of it runs."""

    folder: Path
    instance: Instance
    running: ExitStack
    parties: dict[str, Party] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """Exit statuses of parties that ran."""
    brokers: dict[str, Broker] = field(default_factory=dict)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.running.close()

    def start_broker(self, path: str = BROKER) -> Broker:
        """Start a broker instance; it ends with the world, or by stop_broker."""
        broker = Broker(self.instance.broker_home(path))
        try:
            broker.start()
        except KeyboardInterrupt:
            broker.stop()
            raise
        self.brokers[path] = broker
        self.running.callback(self.stop_broker, path)
        return broker

    def stop_broker(self, path: str) -> None:
        """Drain and end it, if it runs."""
        broker = self.brokers.pop(path, None)
        if broker is not None:
            broker.stop()

    def start_parties(self, paths: Sequence[str]) -> None:
        """Start providers, all at once, and wait for each."""
        started = [enroll(path, self.instance.home(path), self.folder / "parties", self.logs) for path in paths]
        self.running.callback(lambda: self.ended.update(end(started)))
        for party in started:
            launch(party, MODULES.get(party.path, _DISHONEST), with_state=party.path not in (UNITS, MIRROR))
        for party in started:
            await_ready(party)
            self.parties[party.path] = party

    @property
    def logs(self) -> Path:
        """Where the parties' logs lie."""
        return self.folder / "logs"

    def client(self, path: str, *, through: str = BROKER) -> ClientConfig:
        """A subsystem's client configuration, with one broker only: nothing here falls back to another."""
        config = load_client_config(self.instance.config(path))
        wanted = self.spiffe_id(through)
        return ClientConfig(
            config.identity, tuple(one for one in config.brokers if one.spiffe_id == wanted), config.grants
        )

    def spiffe_id(self, path: str) -> str:
        """The full name of a subsystem."""
        return self.instance.subsystem_id(path).spiffe_id

    def journal(self, path: str = BROKER) -> Path:
        """A broker's journal."""
        return self.instance.broker_home(path) / "journal"

    def sent_on(self) -> int:
        """How many requests the running brokers have sent to providers since they started, as Envoy counts them."""
        pattern = r"cluster\..*\.upstream_rq_total$"
        return sum(sum(broker.envoy.admin.stats(pattern).values()) for broker in self.brokers.values())


def make_world(folder: Path) -> World:
    """Make the instance in `folder`, or find it there; nothing runs yet. Leaving the world ends what runs."""
    folder = ensure_private_directory(folder.absolute())
    running = ExitStack()
    running.callback(os.close, _lock(folder))
    if shutil.disk_usage(folder).free < _ROOM_BYTES:
        raise DemoError(
            f"less than {_ROOM_BYTES >> 20} MiB are free under {folder}; free some, or name another folder with --state"
        )
    instance = make_instance(folder / "instance", nation(), now=datetime.now(UTC))
    for name in ("parties", "logs", "evidence"):
        ensure_private_directory(folder / name)
    return World(folder, instance, running)


def _lock(folder: Path) -> int:
    """One demonstration in one folder: a second would renew the certificates that the first one uses."""
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
