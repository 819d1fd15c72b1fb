"""A supervisor of an engine that is kept, for tests: as a process of its own it is there to be killed.

python -m tests.support.keeping_child FOLDER MARK: says the engine's process when that is ready, and waits.
"""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

from bus.engines.logs import RotatingLog
from bus.engines.records import Keep, Records
from bus.engines.supervisor import Launch, Supervisor

__all__ = ["is_alive", "make_supervisor"]

_SAYS = "while :; do echo a word; sleep 0.05; done"


def make_supervisor(
    folder: Path,
    mark: str,
    *,
    records: Records | None = None,
    recall: Callable[[str], None] = lambda said: None,
    max_age: float | None = None,
) -> Supervisor:
    """Of an engine that says a word again and again."""
    log = RotatingLog(folder / "engine.log")
    known = records or Records(folder / "records")
    return Supervisor(
        "engine",
        prepare=lambda: Launch(["/bin/sh", "-c", _SAYS], {"PATH": "/usr/bin:/bin"}),
        probe=lambda: "a word" in log.path.read_text(),
        drain=lambda: None,
        log=log,
        max_age=max_age,
        keep=Keep(known, known.of("engine"), lambda: mark, say=lambda: "ready to be heard", recall=recall),
    )


def is_alive(pid: int) -> bool:
    """And no zombie that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def main() -> None:
    """See above."""
    supervisor = make_supervisor(Path(sys.argv[1]), sys.argv[2])
    supervisor.start()
    print(supervisor.pid, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
