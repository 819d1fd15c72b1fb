"""One child process kept alive: started, found ready, started again when it dies, ended in order.

1. Whoever holds the supervisor holds the child: if this process is killed, the kernel ends the child (see tether.py).
   With `keep` it is the other way about: the child goes on, and the next supervisor goes on with it (see records.py).
   Only one that was found ready and was started as it would be now; another is ended in order and replaced.
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

from bus.engines import hold, tether
from bus.engines.logs import RotatingLog
from bus.engines.records import Keep, Living, boottime

__all__ = ["EngineError", "Launch", "Supervisor"]

_TETHER, _HOLD = str(Path(tether.__file__)), str(Path(hold.__file__))
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_HEALTHY_AFTER = 10.0
_TERM_SECONDS = 10.0
_PROBE_SECONDS = 0.02
_LOG_SECONDS = 5.0


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


@dataclass(frozen=True, slots=True)
class _Child:
    """A process that is watched; by its descriptor alone, whoever started it."""

    pid: int
    pidfd: int
    began: float
    """By CLOCK_BOOTTIME, in seconds."""
    process: "subprocess.Popen[bytes] | None"
    """None for one that a former supervisor started: how it ends is not known then."""

    @classmethod
    def started(cls, process: "subprocess.Popen[bytes]") -> "_Child":
        return cls(process.pid, os.pidfd_open(process.pid), boottime(), process)

    @classmethod
    def found(cls, engine: Living) -> "_Child":
        return cls(engine.pid, engine.pidfd, engine.began, None)

    def reap(self) -> str:
        """Once it has ended: how."""
        os.close(self.pidfd)
        return "a status that nobody could see" if self.process is None else _describe(self.process.wait())


@dataclass(slots=True)
class _State:
    """What both threads look at; guarded by the supervisor's lock."""

    child: _Child | None = None
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
        keep: Keep | None = None,
    ) -> None:
        """`probe` answers whether the child is ready, or raises EngineError when it never will be; `drain` returns
        when it may be ended. Both may raise OSError. `keep`: rule 1."""
        self.name = name
        self._prepare, self._probe, self._drain, self._log = prepare, probe, drain, log
        self._max_age, self._keep = max_age, keep
        self._state = _State()
        self._found: _Child | None = None
        self.left = False
        """Whether `stop` left the child running, for the next supervisor."""
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name=f"supervisor-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Of the living child."""
        child = self._state.child
        return None if child is None else child.pid

    @property
    def ready(self) -> bool:
        """Whether the child has been found ready since its last start."""
        return self._state.ready

    @property
    def starts(self) -> int:
        """How often the child was started; one that was found counts as a start."""
        return self._state.starts

    @property
    def began_ms(self) -> int:
        """When the living child was started, by the wall clock as it is now; 0 without one."""
        child = self._state.child
        return 0 if child is None else int((time.time() - (boottime() - child.began)) * 1000)

    def take_over(self) -> bool:
        """Go on with what a former supervisor left (rule 1); `begin` does it too. Whatever `mark` raises.

        False where nothing is left, or was not to be gone on with and has ended now. In one thread at a time.
        """
        found = None if self._keep is None or self._found is not None else self._keep.record.find()
        if self._keep is None or found is None:
            return self._found is not None
        child = _Child.found(found)
        try:
            fits = found.ready and found.mark == self._keep.mark()
        except BaseException:
            os.close(found.pidfd)
            raise
        if not fits:
            why = "was started otherwise" if found.ready and found.mark else "was not ready, or being ended"
            self._note(f"process {found.pid}, which a former supervisor left, {why}; it is replaced")
            self._has(child)
            self._end(child, drain=True)
            self._has(None)
            child.reap()
            return False
        self._note(f"goes on with process {found.pid}, which a former supervisor left")
        self._keep.recall(found.said)
        self._found = child
        self._state.starts += 1
        self._has(child, ready=True)
        return True

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
        if (pidfd := self.open_child()) is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            os.close(pidfd)

    def open_child(self) -> int | None:
        """A descriptor of the living child, for the caller to close (pidfd_open(2))."""
        with self._state.changed:  # it is not closed meanwhile
            return None if self._state.child is None else os.dup(self._state.child.pidfd)

    def stop(self) -> None:
        """Drain and end the child; returns when it is gone, or `left`. May be called twice."""
        with contextlib.suppress(OSError):
            os.write(self._stop_write, b"x")
        if self._thread.is_alive():
            self._thread.join()
        elif self._found is not None:  # taken over, and never begun
            self._watch(self._found)
        for descriptor in (self._stop_read, self._stop_write):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._stop_read = self._stop_write = -1

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            child = None
            try:
                child = self._found if self.take_over() else self._launch()
            except Exception as error:  # noqa: BLE001 (whatever stops a start is told by start(), or tried again)
                self._fail(f"{type(error).__name__}: {error}")
            if child is not None and self._watch(child):
                return
            if time.monotonic() - began > _HEALTHY_AFTER:
                pause = _FIRST_PAUSE
            if self._stopping(pause):
                return
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _launch(self) -> _Child:
        launch = self._prepare()
        before = [_TETHER, str(os.getpid())]
        if self._keep is not None:
            before = [_HOLD, str(os.getpid()), str(self._keep.record.path), self._keep.mark()]
        self._log.cut()
        given, output = _readable(launch.stdin), self._log.open()
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", *before, *launch.command],
                env=dict(launch.environment),
                pass_fds=launch.descriptors,
                stdin=given,
                stdout=output,
                stderr=output,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to answer, in order
            )
        finally:
            for descriptor in (output, given, *launch.descriptors):
                os.close(descriptor)
        child = _Child.started(process)
        self._state.starts += 1
        self._has(child)
        return child

    def _watch(self, child: _Child) -> bool:
        """Stay with one child until it ends. True when that was asked for."""
        found, self._found = child is self._found, None
        try:
            too_old = (found or self._await_ready(child)) and not self._stay(child)
            if self._stopping(0):
                self.left = found and self._keep is not None and self._keep.records.leave_found
                if not self.left:
                    self._end(child, drain=self._state.ready)
                return True
            if too_old:
                self._end(child, drain=True)
        finally:
            self._has(None)
            if self.left:
                os.close(child.pidfd)
            else:
                how = child.reap()
                if self._keep is not None:
                    self._keep.record.remove()
        self._fail(f"ended with {how}")
        return False

    def _await_ready(self, child: _Child) -> bool:
        """Probe until ready; False when the child ended or the supervision is to end."""
        while not self._wait(child, _PROBE_SECONDS):
            try:
                ready = self._probe()
            except OSError:
                continue  # not there yet
            except EngineError as error:
                self._fail(str(error))
                continue
            if ready:
                if self._keep is not None and not self._keep.record.note_ready(child.pid, self._keep.say()):
                    self._note("cannot be noted as ready; the next supervisor will replace it")
                self._has(child, ready=True)
                return True
        return False

    def _has(self, child: _Child | None, *, ready: bool = False) -> None:
        """Whom, and in which state, is what others see."""
        state = self._state
        with state.changed:
            state.child, state.ready = child, ready
            state.served = state.served or ready
            state.failure = state.failure if child is None else None
            state.changed.notify_all()

    def _stay(self, child: _Child) -> bool:
        """With a ready one: False when it is too old, True when it has ended or a stop was asked for."""
        while True:
            left = None if self._max_age is None else self._max_age - (boottime() - child.began)
            if self._wait(child, _LOG_SECONDS if left is None else max(0.0, min(left, _LOG_SECONDS))):
                return True
            self._log.cut()
            if left is not None and left <= 0:
                return False

    def _wait(self, child: _Child, seconds: float) -> bool:
        """True when the child has ended or a stop was asked for."""
        return bool(select.select([child.pidfd, self._stop_read], [], [], seconds)[0])

    def _stopping(self, seconds: float) -> bool:
        return bool(select.select([self._stop_read], [], [], seconds)[0])

    def _end(self, child: _Child, *, drain: bool) -> None:
        if self._keep is not None:
            self._keep.record.note_ending(child.pid)
        if drain:
            with contextlib.suppress(OSError):
                self._drain()
        for number, seconds in ((signal.SIGTERM, _TERM_SECONDS), (signal.SIGKILL, None)):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(child.pidfd, number)
            if select.select([child.pidfd], [], [], seconds)[0]:
                return

    @staticmethod
    def pause_until(condition: Callable[[], bool], seconds: float) -> None:
        """For `drain`: wait until `condition` holds, at most `seconds`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not condition():
            time.sleep(_PROBE_SECONDS)

    def _fail(self, text: str) -> None:
        self._note(text)
        with self._state.changed:
            self._state.failure = text
            self._state.changed.notify_all()

    def _note(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk must not stop the supervision
            self._log.line(f"{self.name}: {text}")


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
