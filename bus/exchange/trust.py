"""The policy as this process sees it: a verified snapshot behind the questions of `view`, renewed from its file.

`SnapshotView` is immutable; whoever judges a call takes one and keeps it, so one call is judged by one version.
`SnapshotFile` holds the current one and swaps it when the file's replacement verifies (protocol.md 9): signed by the
pinned key, of this trust domain and scope, neither its version nor its log position lower than what was served, also
before a restart: what was served last stands beside the file, as `<name>-floor.json`. What does not verify changes
nothing and is told once. Where the snapshot comes through the bus (`fetch`), whoever needs a newer one asks there.
KNOWN: who can write the directory can lower both files. Only gates journal their floor.
"""

import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from bus.exchange.config import ConfigError, Identity
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from bus.exchange.view import CertificateRecord, GrantRecord, KeyRecord, MethodRecord, SubsystemRecord
from native.ecdsa import PublicKey
from native.policy import Grant, MethodKind
from native.snapshot import SnapshotError, VerifiedSnapshot, verify_snapshot
from pki.files import write_atomic
from pki.identity import parse_spiffe_id

__all__ = ["SnapshotFile", "SnapshotView", "load_policy_key"]

# What is found is turned into a record once for a snapshot; one that names more is looked up each time beyond that.
# Only what the snapshot names is remembered, so a stranger cannot fill the tables. Times are judged on every use.
MAX_REMEMBERED: Final = 65_536
_GRANTS: Final = 4  # position of the grants in Policy.counts

log = logging.getLogger(__name__)


class SnapshotView:
    """One verified snapshot. Implements view.TrustView."""

    def __init__(self, snapshot: VerifiedSnapshot) -> None:
        self.header = snapshot.header
        self.version = snapshot.header.version
        self._policy = snapshot.policy
        self._certificates: dict[bytes, CertificateRecord] = {}
        self._subsystems: dict[str, SubsystemRecord] = {}
        self._keys: dict[bytes, KeyRecord] = {}
        self._methods: dict[str, MethodRecord] = {}
        self._grants: dict[int, GrantRecord] = {}

    def verify_age(self, now_ms: int) -> None:
        """RequestRefused(POLICY_STALE) past the age at which whoever serves from it refuses."""
        if now_ms - self.header.created_at_ms > self.header.refuse_after_ms:
            raise RequestRefused(Reason.POLICY_STALE)

    def certificate(self, sha256: bytes) -> CertificateRecord | None:
        """The live certificate with this digest."""
        known = self._certificates.get(sha256)
        if known is not None:
            return known
        found = self._policy.certificate(sha256)
        if found is None:
            return None
        subsystem, not_after = found
        record = CertificateRecord(self._policy.subsystem(subsystem).id, not_after)
        if len(self._certificates) < MAX_REMEMBERED:
            self._certificates[sha256] = record
        return record

    def subsystem(self, spiffe_id: str) -> SubsystemRecord | None:
        """The registered subsystem of this name."""
        known = self._subsystems.get(spiffe_id)
        if known is not None:
            return known
        index = self._policy.find_subsystem(spiffe_id)
        if index is None:
            return None
        found = self._policy.subsystem(index)
        record = SubsystemRecord(found.id, found.active, found.is_broker)
        if len(self._subsystems) < MAX_REMEMBERED:
            self._subsystems[spiffe_id] = record
        return record

    def key(self, key_id: bytes) -> KeyRecord | None:
        """The registered key of this id."""
        known = self._keys.get(key_id)
        if known is not None:
            return known
        found = self._policy.key(key_id)
        if found is None:
            return None
        record = KeyRecord(found.subsystem, found.not_before_ms, found.not_after_ms, PublicKey.from_point(found.point))
        if len(self._keys) < MAX_REMEMBERED:
            self._keys[key_id] = record
        return record

    def method(self, path: str) -> MethodRecord | None:
        """The declared method at this path."""
        known = self._methods.get(path)
        if known is not None:
            return known
        index = self._policy.find_method(path)
        if index is None:
            return None
        found = self._policy.method(index)
        record = MethodRecord(
            path=found.path,
            max_lifetime_ms=found.max_lifetime_ms,
            idempotent=found.idempotent,
            server_stream=found.kind is MethodKind.SERVER_STREAM,
            client_stream=found.kind is MethodKind.CLIENT_STREAM,
        )
        if len(self._methods) < MAX_REMEMBERED:
            self._methods[path] = record
        return record

    def permitting_grant(
        self, grant_id: str, client: str, provider: str, method: str, purpose: str, now_ms: int
    ) -> GrantRecord | None:
        """The grant, if it permits exactly this at this time."""
        policy = self._policy
        index = policy.permits(
            grant_id,
            policy.find_subsystem(client),
            policy.find_subsystem(provider),
            policy.find_method(method),
            purpose,
            now_ms,
        )
        if index is None:
            return None
        known = self._grants.get(index)
        if known is not None:
            return known
        record = GrantRecord(grant_id, policy.grant(index).operator_made)
        if len(self._grants) < MAX_REMEMBERED:
            self._grants[index] = record
        return record

    def grants_of(self, client: str) -> Iterator[Grant]:
        """Every grant made out to `client`; for choosing one, never for permitting."""
        for index in range(self._policy.counts()[_GRANTS]):
            grant = self._policy.grant(index)
            if grant.client == client:
                yield grant


@dataclass(slots=True)
class _Seen:
    """What the file looked like when it was last read."""

    stamp: tuple[int, int, int] = (0, 0, 0)
    checked_at: float = 0.0


class SnapshotFile:
    """The current snapshot of one file."""

    REFETCH_S: Final = 1.0

    def __init__(self, path: Path, policy_key: PublicKey, trust_domain: str, scope: str) -> None:
        self._path = path
        self._floor_path = path.with_name(f"{path.stem}-floor.json")
        self._policy_key = policy_key
        self._trust_domain = trust_domain
        self._scope = scope
        self._seen = _Seen()
        self._view: SnapshotView | None = None
        self._kept = (0, 0)
        self.fetch: Callable[[], Awaitable[bool]] | None = None
        """Asks the bus for a newer one, now; True if there was one. None: it comes as a file only."""
        # The watch reads in a thread, a refetch on the event loop.
        self._lock = threading.RLock()

    @classmethod
    def of(cls, identity: Identity) -> "SnapshotFile":
        """The one that a configuration names; ConfigError or OSError for its policy key."""
        domain = parse_spiffe_id(identity.spiffe_id).trust_domain
        return cls(identity.snapshot, load_policy_key(identity.policy_key), domain, identity.snapshot_scope)

    @property
    def current(self) -> SnapshotView:
        """The snapshot served from; `load` or `refresh` must have succeeded once."""
        return self._view or self.load()

    def load(self) -> SnapshotView:
        """Read the file now; OSError or native.snapshot.SnapshotError when it cannot be used."""
        with self._lock:
            if self._view is None:
                self._kept = self._read_floor()
            stamp = self._stamp()
            view = self._take(self._path.read_bytes())
            self._seen.stamp = stamp
            return view

    def offer(self, data: bytes) -> SnapshotView:
        """Serve from `data`, and put it in the file's place; SnapshotError if it must not be believed."""
        with self._lock:
            view = self._take(data)
            write_atomic(self._path, data)
            self._seen.stamp = self._stamp()
            return view

    def refresh(self) -> bool:
        """Read the file again if it was replaced; True if another version is served now. A bad file changes nothing."""
        with self._lock:
            before = self._view
            try:
                stamp = self._stamp()
                if stamp == self._seen.stamp:
                    return False
                self._seen.stamp = stamp
                self.load()
            except (OSError, SnapshotError) as error:
                log.warning("the replaced snapshot is not used (%s); the former one serves on", type(error).__name__)
                return False
            return self._view is not before

    def watch(self) -> bool:
        """`refresh`, and write down what is served, durably; for a thread that may wait for a disk."""
        changed = self.refresh()
        self._keep_floor()
        return changed

    def refetch(self) -> bool:
        """As `refresh`, at most once a second: for an unknown key or grant (protocol.md 8)."""
        now = time.monotonic()
        if now - self._seen.checked_at < self.REFETCH_S:
            return False
        self._seen.checked_at = now
        return self.refresh()

    async def newer(self) -> bool:
        """As `refetch`, and where that brings nothing and the snapshot comes through the bus, ask there."""
        if self.refetch():
            return True
        return self.fetch is not None and await self.fetch()

    def _take(self, data: bytes) -> SnapshotView:
        served = self._view.header if self._view else None
        floor = (served.version, served.log_position) if served else self._kept
        now_ms = time.time_ns() // 1_000_000
        snapshot = verify_snapshot(
            data, self._policy_key.point, self._trust_domain, self._scope, now_ms, floor[0], floor[1]
        )
        if self._view is None or snapshot.header.version != self._view.version:
            self._view = SnapshotView(snapshot)
        return self._view

    def _read_floor(self) -> tuple[int, int]:
        try:
            found = json.loads(self._floor_path.read_bytes())
            return int(found["version"]), int(found["log_position"])
        except FileNotFoundError:
            return 0, 0
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{self._floor_path} is damaged; remove it if snapshot.bin is the newest") from error

    def _keep_floor(self) -> None:
        view = self._view
        if view is None or (view.version, view.header.log_position) <= self._kept:
            return
        found = {"version": view.version, "log_position": view.header.log_position}
        try:
            kept = self._read_floor()  # another process of this home may be ahead
            if kept[0] < view.version:
                write_atomic(self._floor_path, (json.dumps(found) + "\n").encode())
            self._kept = (view.version, view.header.log_position)
        except (OSError, ConfigError) as error:
            log.warning("the version served is not written down (%s); tried again", type(error).__name__)

    def _stamp(self) -> tuple[int, int, int]:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size


def load_policy_key(path: Path) -> PublicKey:
    """The pinned key that signs snapshots, from its PEM SubjectPublicKeyInfo."""
    try:
        key = load_pem_public_key(path.read_bytes())
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey.from_spki(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is not a P-256 public key in PEM; copy the instance's policy key there") from error
