"""One child process kept alive: started, found ready, started again when it dies, ended in order.

1. Whoever holds the supervisor holds the child: if this process is killed, the kernel ends the child (see tether.py).
2. The kernel watches the parent *thread*: the child is started and awaited by one thread that lives as long as the
   supervision.
3. A child that dies is started again after a pause that doubles from 0.1 s to 5 s; after 10 s of good health the pause
   is forgotten. Every start is prepared afresh (new keys, new descriptors).
4. A child older than `max_age` is drained and started again: what it was given at its start does not last for ever.
5. Ending: the engine's own way out first (drain), then SIGTERM, then SIGKILL, each bounded.
6. The first start is judged: a child that cannot get ready raises EngineError with the end of its log.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bus.engines import tether
from bus.engines.logs import RotatingLog

__all__ = ["EngineError", "Launch", "Supervisor"]

_TETHER = str(Path(tether.__file__))
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_HEALTHY_AFTER = 10.0
_TERM_SECONDS = 10.0
_PROBE_SECONDS = 0.02


class EngineError(RuntimeError):
    """An engine that could not be started or ended; the text says why and what to look at."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One start: command, whole environment, and descriptors that the child inherits (closed here afterwards)."""

    command: Sequence[str]
    environment: Mapping[str, str]
    descriptors: tuple[int, ...] = ()
    stdin: bytes = field(default=b"", repr=False)
    """What it reads on its standard input before the end: for what nobody may see on a command line."""


@dataclass(slots=True)
class _State:
    """What both threads look at; guarded by the supervisor's lock."""

    pid: int | None = None
    ready: bool = False
    starts: int = 0
    failure: str | None = None
    served: bool = False
    cancelled: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)


class Supervisor:
    """Keeps one engine running between `start` and `stop`."""

    def __init__(
        self,
        name: str,
        *,
        prepare: Callable[[], Launch],
        probe: Callable[[], bool],
        drain: Callable[[], None],
        log: RotatingLog,
        max_age: float | None = None,
    ) -> None:
        """`probe` answers whether the child is ready, or raises EngineError when it never will be; `drain` returns
        when it may be ended. Both may raise OSError."""
        self.name = name
        self._prepare, self._probe, self._drain, self._log = prepare, probe, drain, log
        self._max_age = max_age
        self._state = _State()
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name=f"supervisor-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Of the living child."""
        return self._state.pid

    @property
    def ready(self) -> bool:
        """Whether the child has been found ready since its last start."""
        return self._state.ready

    @property
    def starts(self) -> int:
        """How often the child was started."""
        return self._state.starts

    def begin(self) -> None:
        """Start the child and go on; `wait_ready` waits for it."""
        self._thread.start()

    def start(self, timeout: float = 20.0) -> None:
        """Start the child and wait until it is ready; EngineError (and no child) otherwise."""
        self.begin()
        try:
            self.wait_ready(timeout)
        except EngineError:
            self.stop()
            raise

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Wait until the child, perhaps a restarted one, is ready."""
        state = self._state
        with state.changed:
            # A child that was ready once is started again until it is ready: its death is no reason to give up.
            state.changed.wait_for(
                lambda: state.ready or state.cancelled or (state.failure is not None and not state.served), timeout
            )
            if not state.ready:
                reason = state.failure or f"not ready after {timeout:g} s"
                raise EngineError(f"{self.name} did not start: {reason}; its log is {self._log.path}{self._log.tail()}")

    def cancel(self) -> None:
        """Whoever waits for the child in another thread waits no longer: EngineError there, unless it is ready."""
        with self._state.changed:
            self._state.cancelled = True
            self._state.changed.notify_all()

    def restart(self) -> None:
        """Let the child end by SIGTERM; it is started again like one that died."""
        pid = self._state.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def stop(self) -> None:
        """Drain and end the child; returns when it is gone. May be called twice."""
        with contextlib.suppress(OSError):
            os.write(self._stop_write, b"x")
        if self._thread.is_alive():
            self._thread.join()
        for descriptor in (self._stop_read, self._stop_write):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._stop_read = self._stop_write = -1
        self._log.close()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                process = self._launch()
            except Exception as error:  # noqa: BLE001 (whatever stops a start is told by start(), or tried again)
                self._fail(f"{type(error).__name__}: {error}")
                process = None
            if process is not None and self._watch(process):
                return
            if time.monotonic() - began > _HEALTHY_AFTER:
                pause = _FIRST_PAUSE
            if self._stopping(pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _launch(self) -> "subprocess.Popen[bytes]":
        launch = self._prepare()
        output, child_output = os.pipe2(os.O_CLOEXEC)
        given = _readable(launch.stdin)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", _TETHER, str(os.getpid()), *launch.command],
                env=dict(launch.environment),
                pass_fds=launch.descriptors,
                stdin=given,
                stdout=child_output,
                stderr=child_output,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to answer, in order
            )
        except OSError:
            os.close(output)
            raise
        finally:
            for descriptor in (child_output, given, *launch.descriptors):
                os.close(descriptor)
        self._log.follow(os.fdopen(output, "rb", buffering=0))
        with self._state.changed:
            self._state.pid, self._state.ready, self._state.failure = process.pid, False, None
            self._state.starts += 1
        return process

    def _watch(self, process: "subprocess.Popen[bytes]") -> bool:
        """Stay with one child until it ends. True when that was asked for."""
        pidfd = os.pidfd_open(process.pid)
        try:
            too_old = self._await_ready(pidfd) and not self._wait(pidfd, self._max_age)
            if self._stopping(0):
                self._end(process, pidfd)
                return True
            if too_old:
                self._end(process, pidfd)
        finally:
            os.close(pidfd)
            code = process.wait()
            with self._state.changed:
                self._state.pid, self._state.ready = None, False
        self._fail(f"ended with {_describe(code)}")
        return False

    def _await_ready(self, pidfd: int) -> bool:
        """Probe until ready; False when the child ended or the supervision is to end."""
        while not self._wait(pidfd, _PROBE_SECONDS):
            try:
                ready = self._probe()
            except OSError:
                continue  # not there yet
            except EngineError as error:
                self._fail(str(error))
                continue
            if ready:
                with self._state.changed:
                    self._state.ready, self._state.served, self._state.failure = True, True, None
                    self._state.changed.notify_all()
                return True
        return False

    def _wait(self, pidfd: int, seconds: float | None) -> bool:
        """True when the child has ended or a stop was asked for."""
        return bool(select.select([pidfd, self._stop_read], [], [], seconds)[0])

    def _stopping(self, seconds: float) -> bool:
        return bool(select.select([self._stop_read], [], [], seconds)[0])

    def _end(self, process: "subprocess.Popen[bytes]", pidfd: int) -> None:
        if self._state.ready:
            with contextlib.suppress(OSError):
                self._drain()
        for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            if select.select([pidfd], [], [], seconds)[0]:
                return

    @staticmethod
    def pause_until(condition: Callable[[], bool], seconds: float) -> None:
        """For `drain`: wait until `condition` holds, at most `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not condition():
            time.sleep(_PROBE_SECONDS)

    def _fail(self, text: str) -> None:
        self._log.line(f"{self.name}: {text}")
        with self._state.changed:
            self._state.failure = text
            self._state.changed.notify_all()


def _readable(data: bytes) -> int:
    """A descriptor at whose start `data` stands, on no disk."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    descriptor = os.memfd_create("govbus-stdin", os.MFD_CLOEXEC)
    os.write(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _describe(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
