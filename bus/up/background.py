"""Starting the supervisor in the background and following its start."""

import json
import os
import subprocess
import sys
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bus.engines import tether
from bus.engines.supervisor import EngineError
from bus.up.layout import Layout
from bus.up.options import Options
from pki.files import ensure_private_directory

__all__ = ["start_supervisor"]


def start_supervisor(
    layout: Layout, options: Options, *, tethered: bool = False
) -> Generator[dict[str, Any], None, None]:
    """What it tells until it is ready or has failed; it goes on by itself. Ctrl-C here ends it there, in order.

    `tethered`: it ends, in order too, with the thread that called this.
    """
    command = [sys.executable, "-m", "bus.up.serve"]
    if tethered:
        command = [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *command]
    ensure_private_directory(layout.state)
    ensure_private_directory(layout.supervisor)
    log = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd="/",
            start_new_session=True,  # it outlives this terminal
        )
    finally:
        os.close(log)
    assert process.stdin is not None  # noqa: S101 (asked for above)
    assert process.stdout is not None  # noqa: S101
    try:
        given = {
            "state": str(layout.state),
            "facts": asdict(options.facts) if options.facts else None,
            "listen": str(options.listen) if options.listen else None,
            "database_url": options.database_url,
            "clock_was_ahead": options.clock_was_ahead,
            "collector": str(options.collector) if options.collector else None,
            "nation": options.nation,
            "people": options.people,
            "metrics": str(options.metrics) if options.metrics else None,
        }
        with process.stdin:
            process.stdin.write(json.dumps(given).encode())
        with process.stdout:
            for line in process.stdout:
                told = json.loads(line)
                yield told
                if "ready" in told or "failed" in told:
                    process.returncode = 0 if "ready" in told else process.wait()  # it is nobody's child to wait for
                    return
    except (KeyboardInterrupt, GeneratorExit):  # the latter when the caller was interrupted between two tellings
        process.terminate()
        process.wait()
        raise
    raise EngineError(f"the supervisor ended with status {process.wait()}; its log is {layout.log}")
