"""How much memory processes take: their proportional share (PSS), in which what several share counts once.

Linux tells it of one's own processes only (proc(5), smaps_rollup).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Processes"]

_PROC = Path("/proc")
_KIB_A_MIB = 1024


class Processes:
    """Who is whose child, as it was when this was made."""

    def __init__(self) -> None:
        self._children = _children()

    def mib(self, *pids: int | None) -> int | None:
        """Of processes and all that descend from them, each once; None for what is not there or not ours."""
        family = {each for pid in pids if pid is not None for each in self._family(pid)}
        found = [_pss_kib(each) for each in family]
        known = [each for each in found if each is not None]
        return sum(known) // _KIB_A_MIB if known else None

    def _family(self, pid: int) -> list[int]:
        return [pid, *(each for child in self._children.get(pid, ()) for each in self._family(child))]


def _children() -> Mapping[int, Sequence[int]]:
    found: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold anything; after the last one come state and parent.
                parent = int((entry / "stat").read_bytes().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue  # it ended just now
            found.setdefault(parent, []).append(int(entry.name))
    return found


def _pss_kib(pid: int) -> int | None:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), None)
