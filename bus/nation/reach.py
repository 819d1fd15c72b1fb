"""Which TCP ports a member's process may bind and connect to: its own, and those of brokers.

The registry says where each listens. What it said last stands in `<state>/nation/reach.json`, for a member that is
started while the registry is away; what a member's own configuration says never counts, for that is its own to change.
A newcomer also connects to the port in its token, and whoever is told of a collector to that one's. Databases are met
at sockets that are files.

KNOWN: ports are found out before each start: a broker that moved, or another one, is reached from the next start on.
Ports count, not addresses: a member may meet whatever listens at a broker's port number on another machine.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bus.engines.supervisor import EngineError
from bus.nation.behind import Reach
from bus.registry.state import RegistryState
from pki.enrolment import parse_token
from pki.files import write_atomic

__all__ = ["KnownReach"]

_FILE: Final = "reach.json"


class KnownReach:
    """What is known of it; `kept`: each member's port since the founding, which stays its own wherever it moved."""

    def __init__(self, directory: Path, kept: Mapping[str, int], collector: int | None = None) -> None:
        self._file, self._kept = directory / _FILE, kept
        self._collector = frozenset[int]() if collector is None else frozenset([collector])

    def of(self, path: str, state: RegistryState | None, token: str = "") -> Reach:
        """Of the member at `path`, now; `state` is None while the registry is away. EngineError if nobody knows yet."""
        known = self._load() if state is None else self.note(state)
        own = [*known["members"].get(path, ()), *([self._kept[path]] if path in self._kept else ())]
        enrols = [int(parse_token(token).address.rpartition(":")[2])] if token else []
        return Reach(frozenset(own), frozenset([*known["brokers"], *enrols]) | self._collector)

    def note(self, state: RegistryState) -> dict[str, Any]:
        """Remember what the registry says."""
        known = _listening(state)
        if self._is_new(known):
            write_atomic(self._file, (json.dumps(known, sort_keys=True) + "\n").encode())
        return known

    def _load(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(self._file.read_bytes())
        except FileNotFoundError as error:
            raise EngineError("where brokers listen is known when the registry is there") from error
        except ValueError as error:
            raise EngineError(f"{self._file} is damaged; delete it, the registry says the same") from error
        return known

    def _is_new(self, known: dict[str, Any]) -> bool:
        try:
            return self._load() != known
        except EngineError:
            return True


def _listening(state: RegistryState) -> dict[str, Any]:
    """Ports of brokers, and of whoever else listens, by path."""
    places = {path: sorted({one.port for one in entry.endpoints}) for path, entry in state.subsystems.items()}
    brokers = {port for path, ports in places.items() if state.subsystems[path].is_broker for port in ports}
    members = {path: ports for path, ports in places.items() if ports and not state.subsystems[path].is_broker}
    return {"brokers": sorted(brokers), "members": members}
