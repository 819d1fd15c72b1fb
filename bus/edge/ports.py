"""Loopback ports chosen once and kept: `<state>/ports.json`, name -> port.

Chosen below the range from which the kernel takes ports for outgoing connections, so that a kept port is not taken by
somebody's connection while its server is down. Free at the moment of choosing; a port taken later is an error that the
server reports, with the file to edit.
"""

import json
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

from pki.files import write_atomic

__all__ = ["keep_ports"]

_LOWEST, _HIGHEST = 15_000, 32_000
_TRIES = 1_000


def keep_ports(state: Path, names: Iterable[str]) -> dict[str, int]:
    """The kept port of each name; new names get one, which is written down before this returns."""
    path = state / "ports.json"
    kept: dict[str, int] = json.loads(path.read_bytes()) if path.exists() else {}
    missing = [name for name in names if name not in kept]
    for name in missing:
        kept[name] = _free_port(set(kept.values()))
    if missing:
        write_atomic(path, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode("ascii"))
    return kept


def _free_port(taken: set[int]) -> int:
    for _ in range(_TRIES):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            return port
    raise OSError(f"no free port from {_LOWEST} to {_HIGHEST} on 127.0.0.1; stop something that holds them")
