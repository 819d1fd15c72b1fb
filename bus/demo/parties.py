"""The ministries' processes: each has a home of its own and is fenced in it, before it runs any code of its own.

    <instance>/subsystems/<name>/     0700
      config.yaml, tls, *.pem ...     made by itself, when it enrols (bus.nation.member)
      snapshot.bin                    its part of the policy, delivered by the publisher
      database                        where its database is, on the ministries' own PostgreSQL

A child ends with this process (bus.engines.tether). What it writes to stderr goes to its log.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bus.demo.report import DemoError
from bus.engines import tether
from bus.engines.supervisor import EngineError
from bus.nation import behind

__all__ = ["Party", "await_ready", "end", "launch", "openable"]

READY_S: Final = 60.0
END_S: Final = 10.0
_MEMBER: Final = "bus.nation.member"


@dataclass(slots=True)
class Party:
    """One process and what belongs to it."""

    path: str
    folder: Path
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    port: int = 0

    @property
    def config(self) -> Path:
        """What connect and serve take."""
        return self.folder / "config.yaml"


def launch(party: Party, module: str, *, token: str, database: Path | None) -> None:
    """Start its process, which enrols with `token` if there is one; await_ready says when it serves."""
    command = [sys.executable, "-I", "-B", "-m", _MEMBER, str(party.folder), module]
    if database is not None:
        command += ["--database", str(database)]
    with party.log.open("wb") as log:
        process = party.process = subprocess.Popen(
            _tethered(behind.fenced(party.folder, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=behind.environment(party.folder),
            start_new_session=True,  # a Ctrl-C in the terminal is the demonstration's to answer
        )
    assert process.stdin is not None  # noqa: S101 - asked for above
    with contextlib.suppress(BrokenPipeError), process.stdin:
        process.stdin.write(token.encode("ascii"))  # never on a command line, which everybody can read


def await_ready(party: Party) -> None:
    """Wait until it says on which port it serves; DemoError when it does not."""
    process = party.process
    assert process is not None  # noqa: S101 - launch made it
    assert process.stdout is not None  # noqa: S101
    until, line = time.monotonic() + READY_S, b""
    while not line.endswith(b"\n") and select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
        if not (read := os.read(process.stdout.fileno(), 4096)):
            break
        line += read
    start = b"serving on port "
    if not line.startswith(start):
        said = party.log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        reason = said[0] if said else "it said nothing"
        raise DemoError(f"{party.path} did not start: {reason} (with --state DIR its whole log stays in DIR/logs)")
    party.port = int(line[len(start) :])


def end(parties: Sequence[Party]) -> dict[str, int]:
    """Ask all to drain and end, then wait; their exit statuses."""
    running = [party for party in parties if party.process is not None]
    for party in running:
        _send(party, signal.SIGTERM)
    return {party.path: _await_end(party) for party in running}


def openable(party: Party, files: Sequence[Path]) -> Mapping[str, str]:
    """What happens when a process fenced in as this party opens each file: "opened", or the error's name."""
    try:
        return behind.openable(party.folder, files)
    except EngineError as error:
        raise DemoError(str(error)) from error


def _send(party: Party, number: int) -> None:
    if party.process is not None:
        with contextlib.suppress(ProcessLookupError):
            party.process.send_signal(number)


def _await_end(party: Party) -> int:
    process = party.process
    assert process is not None  # noqa: S101 - as asked by `end`
    try:
        code = process.wait(END_S)
    except subprocess.TimeoutExpired:
        _send(party, signal.SIGKILL)
        code = process.wait()
    if process.stdout is not None:
        process.stdout.close()
    party.process = None
    return code


def _tethered(command: list[str]) -> list[str]:
    return [sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *command]
