"""The signing keys of brokers, registry and ledger, replaced before they end, on the machine where the registry is.

Everybody else's runtime asks for it by a call (bus.registry.rotation). Steps, any of them taken again after a crash:

1. 30 days before its end, or when it was revoked: a new key beside it, `signing-key-next.pem`.
2. The new key is recorded; it starts 11 s later. The former one ends when the last gate key that it certified has
   (bus.registry.rotation).
3. When it has started, and 10 s more, it takes the former one's place: by then every reader knows it.
"""

import logging
from collections.abc import Callable, Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Final

from bus.registry.fold import Act
from bus.registry.key_start import record_key
from bus.registry.keys import PUBLICATION_MS, SigningKeyAdded
from bus.registry.registry import Registry
from bus.registry.rotation import rotation_changes
from bus.registry.state import KeyEntry
from pki.signer import FileSigner

__all__ = ["SIGNING_KEY", "Step", "rotate_signing_key", "signing_key_end"]

SIGNING_KEY: Final = "signing-key.pem"
_NEXT: Final = "signing-key-next.pem"
_ROTATE_MS: Final = 30 * 86_400_000
_YEAR_MS: Final = 365 * 86_400_000

log = logging.getLogger(__name__)


class Step(Enum):
    """What a look at a signing key came to."""

    NOTHING = auto()
    WAITING = auto()
    """For a new key to start."""
    REPLACED = auto()
    """The new key is in its place; who has loaded the former one goes on with it until it loads again."""


def rotate_signing_key(home: Path, path: str, registry: Registry, clock_ms: Callable[[], int]) -> Step:
    """Take the step that is due. Whatever Registry.record raises.

    A key in `home` that the registry does not know is left alone: only a person can say what it is.
    """
    state, fresh, now_ms = registry.state(), home / _NEXT, clock_ms()
    current = state.keys.get(FileSigner.load(home / SIGNING_KEY).key_id)
    if not fresh.exists() and (current is None or not _ends_soon(current, now_ms)):
        return Step.NOTHING
    signer = FileSigner.load_or_create(fresh)
    found = state.keys.get(signer.key_id)
    if found is None:

        def record(start_ms: int) -> int:
            added = SigningKeyAdded(path, signer.key_id, signer.public_point, start_ms, start_ms + _YEAR_MS)
            changes, _ = rotation_changes(state, added)
            registry.record(changes, Act("govbus:supervisor", "signing key replaced before its end"))
            return start_ms

        start_ms = record_key(record, clock_ms)
        log.info("%s has a new signing key from %d s from now on", path, (start_ms - clock_ms()) // 1000)
        return Step.WAITING
    if now_ms < found.not_before_ms + PUBLICATION_MS:
        return Step.WAITING
    fresh.replace(home / SIGNING_KEY)
    log.info("%s has its new signing key in place", path)
    return Step.REPLACED


def signing_key_end(home: Path, keys: Mapping[bytes, KeyEntry]) -> int | None:
    """The last millisecond of the signing key in `home`; None for one that is not registered."""
    found = keys.get(FileSigner.load(home / SIGNING_KEY).key_id)
    return None if found is None else found.last_ms


def _ends_soon(key: KeyEntry, now_ms: int) -> bool:
    return key.revoked_ms is not None or key.last_ms - now_ms < _ROTATE_MS
