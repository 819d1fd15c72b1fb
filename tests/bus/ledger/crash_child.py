"""Integrates the same entries again and again, each time killed at another moment: python -m ... DIRECTORY KEY.

For each point a forked process writes a ledger of its own and kills itself (SIGKILL) at its n-th open, rename, remove
or mkdir. What it was told is integrated goes to DIRECTORY/<n>.acked. Prints how many points
there are: at the next one a process comes to its end.
"""

import os
import signal
import sys
from pathlib import Path

from bus.ledger.keys import load_or_create_signer
from bus.ledger.sequencer import Sequencer
from tests.bus.ledger.support import ORIGIN, entries

BATCHES = (3, 300)
TOTAL = sum(BATCHES)
WATCHED = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "sqlite3.connect"}


def integrate(directory: Path, key: Path, acked: Path | None) -> None:
    """All batches that are not integrated yet."""
    wanted = entries(TOTAL, seed=9)
    with Sequencer(directory, load_or_create_signer(key, ORIGIN)) as sequencer:
        at = int(sequencer.positions.get("source", {"at": 0})["at"])
        for size in BATCHES:
            if at >= size:
                at -= size
                continue
            done = sequencer.checkpoint.size
            note = sequencer.integrate(wanted[done : done + size], {"source": {"at": done + size}}).note
            if acked:
                with acked.open("ab", buffering=0) as file:
                    file.write(note + b"\0")


def dies_at(point: int) -> None:
    """From now on, at the point-th thing that changes a file."""
    left = point

    def watch(event: str, _: tuple[object, ...]) -> None:
        nonlocal left
        if event in WATCHED:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def main() -> None:
    top, key = Path(sys.argv[1]), Path(sys.argv[2])
    load_or_create_signer(key, ORIGIN)
    point, killed = -1, True
    while killed:
        point += 1
        child = os.fork()
        if child == 0:
            dies_at(point)
            integrate(top / str(point), key, top / f"{point}.acked")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
    print(point)


if __name__ == "__main__":
    main()
