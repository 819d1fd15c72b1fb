"""Where a nation lies in an instance's state directory.

<state>/nation/nation.json        bus.nation.settled
              /reach.json         where the registry said last that everybody listens (bus.nation.reach)
              /postgres/          the ministries' server: bus.engines.postgres
              /logs/<name>.log    what a member's process says, 0600
<state>/subsystems/<name>/        0700, a member's home, all of its own that its process may open
              config.yaml, tls, *.pem    made by itself, when it enrols (bus.nation.member)
              snapshot.bin        its part of the policy, delivered by the publisher
              database            0600, where its database is: one libpq conninfo, written before each of its starts
              portal.sock         the portal's only: where it is met
              portal.secret       0600, what it asks of its callers, made anew at each of its starts
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bus.nation.members import PORTAL
from bus.up.layout import Layout

__all__ = [
    "CONFIG",
    "DATABASE",
    "SOCKET",
    "home",
    "log_file",
    "nation_directory",
    "portal_address",
    "portal_metadata",
    "portal_socket",
]

CONFIG: Final = "config.yaml"
DATABASE: Final = "database"
SOCKET: Final = "portal.sock"
_METADATA_KEY: Final = "govbus-portal-secret"


def nation_directory(layout: Layout) -> Path:
    """What of a nation is nobody's home."""
    return layout.state / "nation"


def home(layout: Layout, path: str) -> Path:
    """A member's home."""
    return layout.state / "subsystems" / path.replace("/", ".")


def log_file(layout: Layout, path: str) -> Path:
    """What a member's process says."""
    return nation_directory(layout) / "logs" / f"{path.replace('/', '.')}.log"


def portal_socket(layout: Layout) -> Path:
    """Where the portal is met: gRPC without TLS at `portal_address`, and with each call `portal_metadata`."""
    return home(layout, PORTAL) / SOCKET


@contextmanager
def portal_address(socket: Path) -> Iterator[str]:
    """`socket` as gRPC takes it while the block runs, whatever the length of its path: unix(7) allows 107 bytes."""
    folder = os.open(socket.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"unix:/proc/self/fd/{folder}/{quote(socket.name)}"
    finally:
        os.close(folder)


def portal_metadata(socket: Path) -> tuple[tuple[str, str], ...]:
    """What the portal at `socket` is sent with each call, by who may open its home: read anew, a start makes another.

    Empty while the portal has not started: it is not met then.
    """
    try:
        return ((_METADATA_KEY, socket.with_suffix(".secret").read_text("ascii").strip()),)
    except FileNotFoundError:
        return ()
