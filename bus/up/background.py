"""Starting the supervisor, under a guardian or tethered to who starts it, and following its start."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from bus.engines import tether
from bus.engines.supervisor import EngineError
from bus.up import guardian
from bus.up.layout import Layout
from bus.up.options import Options
from bus.up.process import AlreadyRunning, end_supervisor
from pki.files import ensure_private_directory

__all__ = ["Started", "start_supervisor", "told_options"]

_GUARDIAN: Final = [sys.executable, "-I", "-S", guardian.__file__]
_SUPERVISOR: Final = [sys.executable, "-m", "bus.up.serve"]
_END_SECONDS: Final = 60.0


def start_supervisor(
    layout: Layout, options: Options, *, tethered: bool = False
) -> Generator[dict[str, Any], None, None]:
    """What it tells until it is ready or has failed; it goes on by itself. Ctrl-C here ends it there, in order.

    `tethered`: it ends, in order too, with the thread that called this, and nobody starts it again.
    """
    return Started(layout, options, tethered=tethered).follow()


class Started:
    """A supervisor whose start is followed."""

    def __init__(self, layout: Layout, options: Options, *, tethered: bool = False) -> None:
        """See start_supervisor."""
        self._layout = layout
        options = replace(options, stays=options.stays or not tethered)
        command = [*_GUARDIAN, str(layout.supervisor), "0", "-"]
        if tethered:
            command = [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *_SUPERVISOR]
        ensure_private_directory(layout.state)
        ensure_private_directory(layout.supervisor)
        log = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd="/",
                start_new_session=True,  # it outlives this terminal
            )
        finally:
            os.close(log)
        assert self.process.stdin is not None  # noqa: S101 (asked for above)
        with self.process.stdin:
            self.process.stdin.write(json.dumps(told_options(layout, options)).encode())

    def follow(self, interrupted: Callable[[], None] = lambda: None) -> Generator[dict[str, Any], None, None]:
        """What it tells, the last time that it is ready or has failed. Ctrl-C calls `interrupted` and ends it."""
        process = self.process
        assert process.stdout is not None  # noqa: S101 (asked for above)
        try:
            with process.stdout:
                for line in process.stdout:
                    told = json.loads(line)
                    yield told
                    if "ready" in told or "failed" in told:
                        process.returncode = 0 if "ready" in told else process.wait()  # it is nobody's to wait for
                        return
        except (KeyboardInterrupt, GeneratorExit):  # the latter when the caller was interrupted between two tellings
            interrupted()
            process.terminate()
            process.wait()
            end_supervisor(self._layout, _END_SECONDS)  # where only its guardian was gone
            raise
        status = process.wait()
        if status == guardian.ELSEWHERE:
            raise AlreadyRunning(self._layout)
        raise EngineError(
            f"the supervisor ended in the midst of its start{guardian.why(status)}; give the command again, and if that"
            f" does not help: its log is {self._layout.log}"
        )

    def become_guardian(self) -> None:
        """Never returns: this process is the guardian of the tethered supervisor from now on."""
        sys.stdout.flush()
        pidfd = os.pidfd_open(self.process.pid)
        os.set_inheritable(pidfd, True)
        os.execv(sys.executable, [*_GUARDIAN, str(self._layout.supervisor), "0", str(pidfd), "tethered"])  # noqa: S606


def told_options(layout: Layout, options: Options) -> dict[str, Any]:
    """What bus.up.serve reads on its standard input."""
    return {
        "state": str(layout.state),
        "facts": asdict(options.facts) if options.facts else None,
        "listen": str(options.listen) if options.listen else None,
        "database_url": options.database_url,
        "clock_was_ahead": options.clock_was_ahead,
        "collector": str(options.collector) if options.collector else None,
        "nation": options.nation,
        "people": options.people,
        "enrolment": str(options.enrolment) if options.enrolment else None,
        "metrics": str(options.metrics) if options.metrics else None,
        "envoy_share": str(options.envoy_share) if options.envoy_share else None,
        "stays": options.stays,
    }
