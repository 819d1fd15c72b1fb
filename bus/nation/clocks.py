"""A new signing key is used only when it has been in force for longer than clocks may differ (`renewal.settle_ms`).

Everything here runs on one machine by one clock, and nobody waits 35 seconds: a home that has just enrolled is told 1.
It is also told that the publisher brings it its policy: behind its walls a member cannot see that it does.
"""

from pathlib import Path
from typing import Final

import yaml

from pki.files import write_atomic

__all__ = ["settle_soon"]

_SETTLE_MS: Final = 1_000


def settle_soon(home: Path) -> None:
    """Say so in the configuration that enrolment wrote."""
    path = home / "config.yaml"
    content = yaml.safe_load(path.read_text("utf-8"))
    content["renewal"] |= {"settle_ms": _SETTLE_MS, "snapshot": False}
    write_atomic(path, yaml.safe_dump(content, sort_keys=False).encode())
