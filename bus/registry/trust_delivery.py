"""The trust bundle into every home below the state directory, when the authority has other CAs (pki.succession).

Homes elsewhere get it with their snapshot, through the bus, out of the registry's own home. Whoever runs from a home
watches the file: runtimes and Envoy go over without a connection dropped.
"""

import logging
from pathlib import Path
from typing import Final

from pki.authority import load_bundle
from pki.files import PUBLIC, write_atomic

__all__ = ["TrustDelivery"]

_FOLDERS: Final = ("subsystems", "brokers")
_TRUST: Final = "trust.pem"

log = logging.getLogger(__name__)


class TrustDelivery:
    """For one state directory; `look` is called about once a second."""

    def __init__(self, state: Path, trust_domain: str) -> None:
        """Nothing is read yet."""
        self._state, self._trust_domain = state, trust_domain
        self._stamp: tuple[tuple[int, int], ...] = ()

    def look(self) -> bool:
        """Bring what is new; True if anything was. ProfileError or OSError of an authority that cannot be read."""
        directory = self._state / "authority"
        found = [(directory / name).stat() for name in ("root.pem", "issuing.pem")]
        stamp = tuple((one.st_mtime_ns, one.st_ino) for one in found)
        if stamp == self._stamp:
            return False
        pem = load_bundle(directory, self._trust_domain).pem
        homes = [home for folder in _FOLDERS for home in (self._state / folder).glob("*/") if (home / _TRUST).exists()]
        late = [home for home in homes if (home / _TRUST).read_bytes() != pem]
        for home in late:
            write_atomic(home / _TRUST, pem, mode=PUBLIC)
        self._stamp = stamp
        if late:
            log.info("another trust bundle went to %d homes", len(late))
        return bool(late)
