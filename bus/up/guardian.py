"""Run as a script: starts the supervisor again when it was killed or crashed, and ends with it when it ended in order.

    python -I -S guardian.py HOME RESTARTS -          start the first one, which takes stdin and stdout over
    python -I -S guardian.py HOME RESTARTS PIDFD      watch the one behind the descriptor
    ... tethered                                      whoever is started ends with this process, in order

1. HOME/wanted is the truth: the supervisor writes it when it is ready, and removes it when it is told to end. Gone with
   the file there, it is started again, and the file is what it is told; gone without, it meant it, and so this ends.
2. The pause before a start doubles from 0.2 s to 30 s; a supervisor that stayed for a minute makes it forgotten. There
   is no last try: what kept it from starting, a full disk for one, passes.
3. The supervisor watches this process as well, and starts another one in its place (bus.up.guarded), but where it is
   tethered: then whoever waits for this process, a terminal or systemd, is told by its end.
4. One guardian a home: HOME/guardian is locked and names it. SIGTERM and SIGINT end the supervisor in order, and this.

Nothing but the standard library, and little of it (no pathlib): it stays for as long as the instance.
"""

import contextlib
import fcntl
import os
import select
import signal
import subprocess
import sys
import time

_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_FIRST_PAUSE, _LONGEST_PAUSE, _HEALTHY_SECONDS = 0.2, 30.0, 60.0
_LOCK_TRIES = 20
ELSEWHERE = 3
"""The supervisor's exit status when another one has the instance: nobody is to be started beside it."""


class Guardian:
    """One supervisor after the other."""

    def __init__(self, home: str, restarts: int, *, tethered: bool) -> None:
        self._home, self._restarts, self._tethered = home, restarts, tethered
        self._wanted = os.path.join(home, "wanted")
        self._pause = _FIRST_PAUSE
        self._told, telling = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(telling)
        for number in _ENDS:
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)

    def forget(self) -> None:
        """What an earlier life of this machine left; until the first one is ready, nobody wants a second."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._wanted)

    def begin(self) -> int:
        """Start the first one, which takes over who listens here."""
        pidfd = self._start(None, None)
        null = os.open(os.devnull, os.O_RDWR)
        for own in (0, 1):
            os.dup2(null, own)
        os.close(null)
        return pidfd

    def keep(self, pidfd: int) -> int:
        """Until one ends in order, or this process is told to end: the last one's exit status."""
        while True:
            began = time.monotonic()
            told = self._await(pidfd, None)
            if told:
                self.forget()
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGTERM)
                select.select([pidfd], [], [])
            status = _reap(pidfd)
            os.close(pidfd)
            if told or status == ELSEWHERE:
                return status
            if time.monotonic() - began > _HEALTHY_SECONDS:
                self._pause = _FIRST_PAUSE
            given = self._given()
            if given is None or self._await(None, self._pause):
                return status
            given = self._given()
            if given is None:
                return status
            _say(f"the supervisor is gone{why(status)}; restart {self._restarts + 1}")
            self._pause = min(self._pause * 2, _LONGEST_PAUSE)
            self._restarts += 1
            pidfd = self._start(given, subprocess.DEVNULL)

    def _start(self, given: bytes | None, output: int | None) -> int:
        command, descriptors = [sys.executable, "-m", "bus.up.serve"], list[int]()
        if self._tethered:
            tether = os.path.join(os.path.dirname(__file__), "..", "engines", "tether.py")
            command = [sys.executable, "-I", "-S", tether, str(os.getpid()), *command, "-", str(self._restarts)]
        else:
            descriptors.append(os.pidfd_open(os.getpid()))
            command += [str(descriptors[0]), str(self._restarts)]
        started = subprocess.Popen(
            command,
            stdin=None if given is None else subprocess.PIPE,
            stdout=output,
            pass_fds=descriptors,
            start_new_session=True,
            cwd="/",
        )
        for each in descriptors:
            os.close(each)
        pidfd = os.pidfd_open(started.pid)
        started.returncode = 0  # reaped below, by its descriptor
        if started.stdin is not None and given is not None:
            with contextlib.suppress(BrokenPipeError), started.stdin:
                started.stdin.write(given)
        return pidfd

    def _given(self) -> bytes | None:
        try:
            with open(self._wanted, "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _await(self, pidfd: int | None, seconds: float | None) -> bool:
        """True when this process is told to end before that one has ended, or the time is over."""
        watched = [self._told] if pidfd is None else [self._told, pidfd]
        return self._told in select.select(watched, [], [], seconds)[0]


def _reap(pidfd: int) -> int:
    """Exit status as a shell says it; 0 for one that is not this process's child."""
    try:
        found = os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    except ChildProcessError:
        found = None
    # As a container's first process it inherits what a killed supervisor started, and whoever ended of it meanwhile.
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    if found is None or found.si_code == os.CLD_EXITED:
        return found.si_status if found else 0
    return 128 + found.si_status


def why(status: int) -> str:
    """For the end of a sentence: how a process ended, by its exit status as a shell or subprocess says it."""
    status = 128 - status if status < 0 else status
    if status - 128 in list(signal.Signals):
        return f" ({signal.Signals(status - 128).name})"
    return f" (exit status {status})" if status else ""


def _say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with contextlib.suppress(OSError):
        os.write(2, f"[{stamp}][guardian] {text}\n".encode())


def _hold(home: str) -> bool:
    """Be the one guardian of `home`; whoever looks who that is holds the lock for a moment."""
    descriptor = os.open(os.path.join(home, "guardian"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            return True
    return False


def main() -> int:
    """See above; ELSEWHERE when another guardian is there."""
    home, restarts, watched, *more = sys.argv[1:]
    guardian = Guardian(home, int(restarts), tethered=more == ["tethered"])
    if not _hold(home):
        _say("another guardian is there")
        return ELSEWHERE
    if watched == "-":
        guardian.forget()
    return guardian.keep(guardian.begin() if watched == "-" else int(watched))


if __name__ == "__main__":
    sys.exit(main())
