"""A subsystem's signing key, rotated by itself at two thirds of its life (protocol.md 1), by a signed call.

`<key file>` is the key that signs; `next-<key file>` one that will. Each step may be the last before a crash:
1. Due (past two thirds of the key's life by the snapshot, plus a chance share of a hundredth; or a next key is there
   already: somebody began): the next key is written, durably, before anybody hears of it.
2. Unless the snapshot has it, it is announced by a call that the current key signs, with its proof of possession.
   KEY_KNOWN is no failure: an earlier try was recorded, and the snapshot will say so.
3. When it has been in force for `settle_ms`, longer than clocks differ, each broker that can be reached is asked
   through with it until it takes it.
4. Its file takes the current one's place in one step. Whoever watches that file signs by it from the next batch on;
   what is signed by the former key counts for the rest of the overlap.
A next key that is over, or was revoked, before it was used is thrown away. A failure is told and tried again, ever more
seldom; the current key stays. One process of a home rotates, the others see its file.
"""

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from govbus.registry.v1 import renewal_pb2 as pb

from bus.exchange.config import Identity
from bus.exchange.errors import CallError
from bus.exchange.own_calls import CALL_S, alone, confirm, own_channel, own_config
from bus.exchange.reasons import Reason
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.trust import SnapshotFile
from bus.exchange.view import KeyRecord
from pki.enrolment import prove_possession
from pki.errors import ProfileError
from pki.files import PUBLIC, replace_file, write_atomic
from pki.identity import parse_spiffe_id
from pki.keys import encode_public_pem
from pki.signer import FileSigner

__all__ = ["KeyRotator", "is_due", "next_key_path"]

ROTATE: Final = "/govbus.registry.v1.RenewalService/RotateKey"
LIFE_MS: Final = 365 * 86_400_000
_NOT_YET: Final = frozenset({Reason.KEY_UNKNOWN, Reason.KEY_NOT_VALID})
_FIRST_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 900.0
_ANNOUNCE_AGAIN_S: Final = 60.0

log = logging.getLogger(__name__)


def next_key_path(path: Path) -> Path:
    """Where the key lies that will take the place of the one at `path`."""
    return path.with_name(f"next-{path.name}")


def is_due(record: KeyRecord | None, now_ms: int, share: float) -> bool:
    """Whether a key that the snapshot describes so is past two thirds, plus `share`, of its life."""
    if record is None:
        return False  # not published yet, or over: nothing that it signs would be taken
    life = record.not_after_ms - record.not_before_ms
    return record.not_before_ms + life * (2 / 3 + share) <= now_ms <= record.not_after_ms


class KeyRotator:
    """For one identity of one process; `look` is called again and again, from any one thread at a time."""

    def __init__(self, identity: Identity, key: SigningKeyFile, snapshot: SnapshotFile) -> None:
        self._identity, self._key, self._snapshot = identity, key, snapshot
        self._next = next_key_path(key.path)
        self._share = secrets.randbelow(1000) / 100_000
        self._retry_s = _FIRST_RETRY_S
        self._not_before = self._announce_after = 0.0
        self._thread: threading.Thread | None = None

    def look(self) -> bool:
        """Take the next step if there is one. Never waits, never raises; False, since no file was read anew."""
        if time.monotonic() < self._not_before or (self._thread is not None and self._thread.is_alive()):
            return False
        try:
            if self._step() is not None:
                self._thread = threading.Thread(target=self._run, name="govbus-rotation", daemon=True)
                self._thread.start()
        except (OSError, ProfileError) as error:
            self._failed(error)
        return False

    def begin(self) -> FileSigner:
        """Make the next key now (1), if there is none; the following steps are taken by `look` or `finish`."""
        return FileSigner.load_or_create(self._next)

    def finish(self, pause: Callable[[str], None]) -> None:
        """Take every step that is left here and now; `pause` waits a moment, told what for. CallError, OSError."""
        while self._next.exists():
            with alone(self._key.path.parent) as mine:
                step = self._step() if mine else None
                if step is not None:
                    step()
                    continue
            pause(self._waiting_for())
        self._key.refresh()

    def _step(self) -> Callable[[], None] | None:
        """What is to be done now; None when there is nothing, or only time is missing."""
        now_ms, view = _now_ms(), self._snapshot.current
        if not self._next.exists():
            return self._make if is_due(view.key(self._key.key_id), now_ms, self._share) else None
        coming = FileSigner.load(self._next)
        record = view.key(coming.key_id)
        if record is None:
            return self._announce if time.monotonic() >= self._announce_after else None
        if record.owner != self._identity.spiffe_id or record.not_after_ms < now_ms:
            return self._next.unlink
        assert self._identity.renewal is not None  # noqa: S101 (who rotates has one)
        settled = now_ms >= record.not_before_ms + self._identity.renewal.settle_ms
        return self._take_up if settled else None

    def _waiting_for(self) -> str:
        record = self._snapshot.current.key(FileSigner.load(self._next).key_id) if self._next.exists() else None
        return "the snapshot that has the new key" if record is None else "the new key to be in force everywhere"

    def _run(self) -> None:
        try:
            with alone(self._key.path.parent) as mine:
                step = self._step() if mine else None
                if step is not None:
                    step()
            self._retry_s = _FIRST_RETRY_S
        except (CallError, ProfileError, OSError, ValueError) as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        log.warning("the signing key is not rotated, the one in use stays, tried again: %s", error)
        self._not_before = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def _make(self) -> None:  # 1
        self.begin()

    def _announce(self) -> None:  # 2
        coming, now_ms = FileSigner.load(self._next), _now_ms()
        subsystem = parse_spiffe_id(self._identity.spiffe_id)
        request = pb.RotateKeyRequest(
            signing_key_spki=coming.spki,
            signing_key_not_before_ms=now_ms,
            signing_key_not_after_ms=now_ms + LIFE_MS,
            possession=prove_possession(coming, subsystem, coming.spki, now_ms, now_ms + LIFE_MS),
        )
        try:
            asyncio.run(self._ask(request))
        except CallError as error:
            if error.reason is not Reason.KEY_KNOWN:
                raise
        self._announce_after = time.monotonic() + _ANNOUNCE_AGAIN_S
        log.info("another signing key was announced")

    async def _ask(self, request: pb.RotateKeyRequest) -> pb.RotateKeyResponse:
        async with own_channel(own_config(self._identity), self._identity, self._key) as channel:
            rotate = channel.unary_unary(ROTATE, pb.RotateKeyRequest.SerializeToString, pb.RotateKeyResponse.FromString)
            answer: pb.RotateKeyResponse = await rotate(request, timeout=CALL_S)
            return answer

    def _take_up(self) -> None:
        coming = FileSigner.load(self._next)
        asyncio.run(confirm(own_config(self._identity), self._identity, coming, _NOT_YET))  # 3
        public = encode_public_pem(coming.public_point)
        write_atomic(self._key.path.with_name("signing-public.pem"), public, mode=PUBLIC)
        replace_file(self._next, self._key.path)  # 4
        log.info("another signing key is in use")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
