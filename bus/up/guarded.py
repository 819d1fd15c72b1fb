"""The supervisor's side of bus.up.guardian: it says that it is wanted, and that its guardian is never missing.

`wanted` holds what another start is to be told: what a first start alone can be told is left out.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bus.up import guardian
from bus.up.background import told_options
from bus.up.layout import Layout
from bus.up.options import Options
from bus.up.process import guardian_pid
from pki.files import write_atomic

__all__ = ["Guarded"]


class Guarded:
    """Between `want` and `release`, which the supervisor's main thread calls."""

    def __init__(self, layout: Layout, options: Options, descriptor: int | None, restarts: int) -> None:
        """`descriptor`: the guardian's pidfd; None where whoever started this process waits for its end."""
        self._layout, self._descriptor, self._restarts = layout, descriptor, restarts
        self._again = replace(options, facts=None, listen=None, database_url=None, clock_was_ahead=False)
        self._child: subprocess.Popen[bytes] | None = None

    def want(self) -> None:
        """From now on this is started again, whatever ends it."""
        write_atomic(self._layout.wanted, json.dumps(told_options(self._layout, self._again)).encode())

    def release(self) -> None:
        """From now on it is not."""
        self._layout.wanted.unlink(missing_ok=True)

    def tick(self, say: Callable[[str], None]) -> None:
        """Another guardian in the place of one that is gone; OSError when none can be started."""
        if self._descriptor is None or not select.select([self._descriptor], [], [], 0)[0]:
            return
        if self._child is not None:
            self._child.wait()
        own = os.pidfd_open(os.getpid())
        log = os.open(self._layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            command = [str(self._layout.supervisor), str(self._restarts), str(own)]
            self._child = child = subprocess.Popen(
                [sys.executable, "-I", "-S", guardian.__file__, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=(own,),
                cwd="/",
                start_new_session=True,
            )
            former, self._descriptor = self._descriptor, os.pidfd_open(child.pid)
            os.close(former)
        finally:
            os.close(own)
            os.close(log)
        say("the guardian was gone; another one is there")

    def tell(self) -> dict[str, Any]:
        """For the control socket."""
        with contextlib.suppress(OSError):
            return {"guardian": guardian_pid(self._layout), "restarts": self._restarts}
        return {}
