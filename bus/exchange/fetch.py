"""A subsystem's snapshot through the bus, for a home that no publisher reaches (protocol.md 8, 9).

1. One question is always waiting at the registry: it is answered when a newer policy is published, or after minutes.
2. What comes is believed by its own signature: by the pinned policy key, for this scope, neither version nor log
   position lower than what was served. It is written into the snapshot's place; whoever watches that file goes over.
3. A policy so old that it may not be served from, or that does not know the key behind the answer, is no hindrance to
   being replaced: then the answer is taken for its snapshot alone. The trust bundle is not signed by itself: it counts
   only in an answer that was verified, and only if it holds a root believed before.
4. A call by a key or a grant that this policy does not know asks at once, at most every second, and whoever else needs
   the answer waits for the same one.
5. A failure is told and tried again, ever more seldom, each by a random pause of its own.
6. The questions are in no trace: most of them wait for minutes and bring nothing. Taking up a new policy is a span.

It runs on a thread and a connection of its own. Endpoints come to brokers only, and before the snapshot. Evidence needs
a snapshot as of a certain version: `snapshot_as_of`, by a call of its own, which replaces nothing.
"""

import asyncio
import logging
import random
import threading
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from govbus.registry.v1 import renewal_pb2 as pb

from bus.exchange import telemetry
from bus.exchange.config import ClientConfig, ConfigError, Identity
from bus.exchange.errors import CallError
from bus.exchange.own_calls import own_channel, own_config
from bus.exchange.reasons import Reason
from bus.exchange.signing import HeaderSigner
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.trust import SnapshotFile, load_policy_key
from native.snapshot import SnapshotError, verify_snapshot
from pki.errors import ProfileError, ProfileReason
from pki.files import PUBLIC, write_atomic
from pki.identity import parse_spiffe_id
from pki.trust import TrustBundle

__all__ = ["SnapshotFetcher", "snapshot_as_of"]

GET_SNAPSHOT: Final = "/govbus.registry.v1.RenewalService/GetSnapshot"
ENDPOINTS: Final = "endpoints.json"
_WAIT_MS: Final = 200_000
_CALL_S: Final = 20.0
_AT_ONCE_S: Final = 2.0
_AS_OF_MS: Final = 10_000
_EVERY_S: Final = 1.0
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
_LARGEST: Final = 1 << 30
_BY_CONTENT: Final = frozenset({Reason.POLICY_STALE, Reason.RESPONSE_UNVERIFIED, Reason.RECEIPT_INVALID})
_FAILURES: Final = (CallError, ConfigError, SnapshotError, ProfileError, OSError, ValueError)

log = logging.getLogger(__name__)


class SnapshotFetcher:
    """For one identity of one process, between `start` and `stop`."""

    def __init__(self, identity: Identity, signer: HeaderSigner, snapshot: SnapshotFile) -> None:
        """`snapshot` asks here from now on (`fetch`)."""
        self._identity, self._signer, self._snapshot = identity, signer, snapshot
        self._loop: asyncio.AbstractEventLoop | None = None
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="govbus-snapshot", daemon=True)
        self._starting = threading.Lock()
        self._asked_at = 0.0
        self._asking: asyncio.Task[bool] | None = None
        snapshot.fetch = self.fetch

    def start(self) -> None:
        """Follow from now on; once, whoever calls first."""
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread.start()

    def stop(self) -> None:
        """Follow no longer."""
        self._snapshot.fetch = None
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # it ended just now
                self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join(_AT_ONCE_S)

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    async def fetch(self) -> bool:
        """(4) from any event loop; True if another version is served afterwards. Never raises."""
        self.start()
        assert self._loop is not None  # noqa: S101 (start made it)
        try:
            done = asyncio.run_coroutine_threadsafe(self._at_once(), self._loop)
            return await asyncio.wait_for(asyncio.wrap_future(done), _AT_ONCE_S)
        except (TimeoutError, RuntimeError):
            return False

    async def once(self) -> bool:
        """Ask and take what is there; True if another version is served now. CallError, SnapshotError and the like."""
        try:
            async with own_channel(own_config(self._identity), self._identity, self._signer) as channel:
                return await self._take(channel, 0, verified=True)
        except CallError as error:
            if error.reason not in _BY_CONTENT:
                raise
        config = own_config(self._identity, proved_by_content=True)
        async with own_channel(config, self._identity, self._signer) as channel:  # 3
            return await self._take(channel, 0, verified=False)

    def _run(self) -> None:
        assert self._loop is not None  # noqa: S101 (start made it)
        asyncio.set_event_loop(self._loop)
        self._main = self._loop.create_task(self._follow())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._main)
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _follow(self) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async with own_channel(own_config(self._identity), self._identity, self._signer) as channel:
                    await self.once()
                    while True:
                        asked = time.monotonic()
                        newer = await self._take(channel, _WAIT_MS, verified=True)  # 1
                        if not newer and time.monotonic() - asked < _LONGEST_PAUSE_S:
                            break  # it was sent away: the registry is about to stop
                        pause = _FIRST_PAUSE_S
            except _FAILURES as error:
                log.warning("the snapshot is not fetched, the one there serves on, tried again: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (no secret: it spreads load)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def _at_once(self) -> bool:
        if self._asking is None or self._asking.done():
            if time.monotonic() - self._asked_at < _EVERY_S:
                return False
            self._asked_at = time.monotonic()
            self._asking = asyncio.get_running_loop().create_task(self._quietly())
        return await asyncio.shield(self._asking)

    async def _quietly(self) -> bool:
        try:
            return await self.once()
        except _FAILURES as error:
            log.warning("a newer snapshot was asked for in vain: %s", error)
            return False

    async def _take(self, channel: Any, wait_ms: int, *, verified: bool) -> bool:
        """Ask through `channel`, whose answers are `verified` or not, and take what is new; True for a new version."""
        # Without an idempotency key: what is answered here is never to be answered again from a store.
        get = channel.using(idempotency_key="", untraced=True).unary_unary(  # 6
            GET_SNAPSHOT, pb.GetSnapshotRequest.SerializeToString, pb.GetSnapshotResponse.FromString
        )
        first: pb.GetSnapshotResponse = await get(self._known(wait_ms), timeout=wait_ms / 1000 + _CALL_S)
        data = await _whole(get, first)
        if verified and first.trust_bundle:
            self._take_trust(first.trust_bundle)
        if first.endpoints and self._identity.scope:
            write_atomic(self._endpoints, first.endpoints)
        if not data:
            return bool(first.trust_bundle or first.endpoints)
        with telemetry.policy_span(first.version):
            before = self._snapshot.current.version
            return self._snapshot.offer(data).version != before

    def _known(self, wait_ms: int) -> pb.GetSnapshotRequest:
        return pb.GetSnapshotRequest(
            known_version=self._snapshot.current.version,
            known_trust_sha256=_digest(self._identity.tls.authorities),
            known_endpoints_sha256=_digest(self._endpoints) if self._identity.scope else sha256().digest(),
            wait_ms=wait_ms,
        )

    @property
    def _endpoints(self) -> Path:
        return self._identity.snapshot.with_name(ENDPOINTS)

    def _take_trust(self, pem: bytes) -> None:
        """(3); ProfileError for a bundle of strangers."""
        path = self._identity.tls.authorities
        domain = parse_spiffe_id(self._identity.spiffe_id).trust_domain
        known = x509.load_pem_x509_certificates(path.read_bytes())
        if not set(TrustBundle.verify_pem(domain, pem).roots) & set(known):
            raise ProfileError(ProfileReason.UNKNOWN_ISSUER, "no root of the new bundle was believed before")
        write_atomic(path, pem, mode=PUBLIC)


async def snapshot_as_of(identity: Identity, version: int) -> bytes:
    """The subsystem's own snapshot, made at `version` or later: what evidence of a call rests on that `version` judged.

    A part is made when it changes, and hourly; this one is made for whoever asks, and verified here like any other.
    ConfigError where the home does not renew through the bus; CallError, SnapshotError or ValueError where none came.
    """
    if identity.renewal is None:
        raise ConfigError("this home asks the registry for nothing (no `renewal` in its configuration)")
    signer = SigningKeyFile(identity.signing_key)
    try:
        data = await _ask_as_of(own_config(identity), identity, signer, version)
    except CallError as error:
        if error.reason not in _BY_CONTENT:
            raise
        data = await _ask_as_of(own_config(identity, proved_by_content=True), identity, signer, version)  # 3
    domain, now_ms = parse_spiffe_id(identity.spiffe_id).trust_domain, time.time_ns() // 1_000_000
    verify_snapshot(data, load_policy_key(identity.policy_key).point, domain, identity.snapshot_scope, now_ms, version)
    return data


async def _ask_as_of(config: ClientConfig, identity: Identity, signer: HeaderSigner, version: int) -> bytes:
    asked = pb.GetSnapshotRequest(known_version=version - 1, at_least_version=version, wait_ms=_AS_OF_MS)
    async with own_channel(config, identity, signer) as channel:
        get = channel.using(idempotency_key="").unary_unary(
            GET_SNAPSHOT, pb.GetSnapshotRequest.SerializeToString, pb.GetSnapshotResponse.FromString
        )
        first: pb.GetSnapshotResponse = await get(asked, timeout=_AS_OF_MS / 1000 + _CALL_S)
        if not first.data:
            raise ValueError(f"the registry has no newer one than version {first.version} of it")
        return await _whole(get, first)


async def _whole(get: Any, first: pb.GetSnapshotResponse) -> bytes:
    """The snapshot that begins with `first`, its other parts asked for; ValueError if it does not come together."""
    part, parts, size = first, [first.data], len(first.data)
    while size < part.total_size:
        asked = pb.GetSnapshotRequest(version=part.version, offset=size)
        part = await get(asked, timeout=_CALL_S)
        if part.offset == 0:
            parts, size = [], 0
        if part.offset != size or not part.data or part.total_size > _LARGEST:
            raise ValueError("the parts of the snapshot do not fit together")
        parts.append(part.data)
        size += len(part.data)
    return b"".join(parts)


def _digest(path: Path) -> bytes:
    try:
        return sha256(path.read_bytes()).digest()
    except FileNotFoundError:
        return b""
