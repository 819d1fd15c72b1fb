"""An engine that another container or unit runs: given its key at each start, watched, told to end when it must.

1. Nothing here starts a process. One that asks for a key gets one made for it at that moment (bus.engines.key_pipe); it
   waits while none may be made, and that is said: ten at once, then one in five minutes. While an engine answers,
   whoever else asks is refused: two of them would be two writers of one journal.
2. Which files a running one was started with it says itself; with former ones it is ended, so that its container starts
   it with those that are there. So is one older than `max_age`: its key does not last for ever.
3. Ending: drained, then told to quit by its own interface. No signal: it is nobody's child here.
4. This side may die and come back: it finds the engine that runs and goes on. `stop` leaves it running.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bus.engines.key_pipe import KeyPipe
from bus.engines.runner import Engine, Started
from bus.engines.supervisor import EngineError

__all__ = ["Elsewhere"]

_LOOK_SECONDS = 0.05
_CHECK_SECONDS = 1.0
# A key is a signature of the broker's registered key and outlives the engine that got it: nobody collects them.
_KEYS_AT_ONCE = 10
_KEY_SECONDS = 300.0  # then one in this time; a container that fails again and again is started about as often

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _State:
    """What both threads look at; guarded by `changed`."""

    ready: bool = False
    starts: int = 0
    said: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)


class Elsewhere:
    """Between `start` and `stop`."""

    def __init__(
        self, name: str, engine: Engine, pipe: KeyPipe, make_key: Callable[[], bytes], *, files: str, max_age: float
    ) -> None:
        """`files` names what a start is given now."""
        self.name, self._files, self._max_age = name, files, max_age
        self._engine, self._pipe, self._make_key = engine, pipe, make_key
        self._state = _State()
        self._keys, self._counted = float(_KEYS_AT_ONCE), time.monotonic()
        self._next_check = self._next_try = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"elsewhere-{name}", daemon=True)

    @property
    def pid(self) -> None:
        """Its number is of another world."""

    @property
    def ready(self) -> bool:
        """Whether it was found ready when it was last looked at."""
        return self._state.ready

    @property
    def starts(self) -> int:
        """How many keys were given."""
        return self._state.starts

    def start(self, timeout: float = 20.0) -> None:
        """Look after it from now on. Waits for nothing: when it comes is not decided here."""
        del timeout
        self._thread.start()

    def wait_ready(self, timeout: float = 20.0) -> None:
        """Wait until it serves; EngineError otherwise."""
        state = self._state
        with state.changed:
            if not state.changed.wait_for(lambda: state.ready, timeout):
                raise EngineError(f"{self.name} does not serve: {state.said or 'nobody has started it'}")

    def stop(self) -> None:
        """Leave it alone from now on. May be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pipe.refuse()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            try:
                self._answer()
                if time.monotonic() >= self._next_check:
                    self._check()
            except Exception as error:  # noqa: BLE001 (nobody else would ever give it a key: told, and tried again)
                self._say(str(error) or type(error).__name__)

    def _answer(self) -> None:
        """Whoever asks for a key."""
        if not self._pipe.asked():
            return
        if self._started() is not None:
            self._pipe.refuse()
            log.warning("a second %s asked for a key while one runs; it gets none: one share, one %s", *[self.name] * 2)
            return
        if self._state.ready:
            self._set_ready(False)
        now = time.monotonic()
        self._keys = min(_KEYS_AT_ONCE, self._keys + (now - self._counted) / _KEY_SECONDS)
        self._counted = now
        if self._keys < 1:
            self._say(
                f"{self.name} asks for key after key and waits for the next; why it ends: the log of its container"
            )
            return
        if now < self._next_try:
            return
        self._next_try = now + _CHECK_SECONDS
        key = self._make_key()  # EngineError: not yet; it waits
        self._keys, self._next_try = self._keys - 1, now
        if self._pipe.give(key):
            self._state.starts += 1
            self._say(f"{self.name} was given a key, and starts")

    def _check(self) -> None:
        """Whether it is there, serves, and may go on."""
        started = self._started()
        if started is None:
            if self._state.ready:
                self._set_ready(False)
                log.warning("%s is away; who runs it starts it again, or why not: the log of its container", self.name)
        elif started.by != self._files:
            self._end("was started with files that have been replaced")
        elif started.seconds > self._max_age:
            self._end("has a key that is to end")
        elif not self._state.ready and self._engine.ready():
            self._set_ready(True)
            log.info("%s serves", self.name)
        self._next_check = time.monotonic() + (_CHECK_SECONDS if self._state.ready else _LOOK_SECONDS)

    def _started(self) -> Started | None:
        """None while none answers."""
        try:
            return self._engine.started()
        except OSError:
            return None

    def _end(self, why: str) -> None:
        log.info("%s %s: it is drained, and started anew by who runs it", self.name, why)
        self._engine.end()
        self._set_ready(False)

    def _set_ready(self, ready: bool) -> None:
        with self._state.changed:
            self._state.ready, self._state.said = ready, ""
            self._state.changed.notify_all()

    def _say(self, text: str) -> None:
        """Once, however often it comes."""
        if text != self._state.said:
            self._state.said = text
            log.warning("%s", text)
