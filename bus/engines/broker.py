"""One broker instance that runs: its directory (bus.edge.broker_file) in, an Envoy with the gate out.

Envoy is a supervised child, or, with a share (bus.engines.share), one that another container or unit runs.

The policy is followed by watching two files that are replaced by rename: a new snapshot is copied under a name of its
own, so that what the gate was told to map never changes under it, and handed over through ECDS; endpoints and the
providers' live certificates become clusters. The gate verifies a snapshot itself; it is verified here too, so that a
wrong file is said at the start and never offered. A gate key is certified by a signing key in force and by no other
(bus.engines.broker_key): until then `obstacle` says what is waited for, and a start fails.
"""

import contextlib
import logging
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import native
from bus.edge.broker_file import BrokerConfig, load_broker_config
from bus.edge.endpoint import Endpoint
from bus.edge.settings import GATE_MODULE, EdgeSettings, GateFilter, TlsFiles, Upstream
from bus.edge.snapshot_files import parse_endpoints, peek_header
from bus.engines.broker_key import key_obstacle
from bus.engines.envoy import Envoy, GateStart
from bus.engines.records import Records
from bus.engines.share import Share, TlsCopy, take_back
from bus.engines.supervisor import EngineError
from native.policy import Policy, PolicyError, live_certificates
from native.snapshot import BROKER_SCOPE, SnapshotError, verify_signed
from pki.credentials import load_credentials
from pki.errors import ProfileError
from pki.files import ensure_private_directory, replace_unflushed
from pki.gatekey import GATE_KEY_LIFETIME, make_gate_key
from pki.identity import parse_spiffe_id
from pki.signer import Signer

__all__ = ["Broker", "gate_library"]

_WATCH_SECONDS = 0.02  # two stat calls; what is waited here is waited by every change of policy
_KEPT_SNAPSHOTS = 3
_ALARM_SECONDS = 600.0
_RESTART_MARGIN = 0.9
_AGAIN_SECONDS = 10.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What a file looked like; a rename changes it."""

    inode: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "_Stamp":
        found = path.stat()
        return cls(found.st_ino, found.st_mtime_ns)


@dataclass(slots=True)
class _Alarm:
    """When the snapshot in force was made, and from which age on it is told."""

    created_ms: int = 0
    after_ms: int = 1 << 62
    next_at: float = 0.0


class Broker:
    """Runs between `start` and `stop`; also a context manager."""

    def __init__(
        self,
        directory: Path,
        collector: Endpoint | None = None,
        share: Share | None = None,
        *,
        records: Records | None = None,
    ) -> None:
        """Read and check everything; EngineError says what is wrong. Nothing runs yet.

        `collector` gets its spans, by OTLP over gRPC in the clear, whatever broker.yaml says. With a `share` Envoy runs
        elsewhere, and `start` waits for nothing. With `records` a child goes on without this process.
        """
        self.config: BrokerConfig = load_broker_config(directory)
        if collector is not None:
            self.config = replace(self.config, trace_collector=collector)
        self._upstreams: tuple[Upstream, ...] = ()
        self._gate: GateFilter | None = None
        self._alarm = _Alarm()
        self._stamps: dict[Path, _Stamp] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="broker-policy", daemon=True)
        self._check_credentials()
        home = self.config.directory
        if share is not None:
            share.make()
        self._tls = share.files if share else home
        self._share, self._held = share, ExitStack()
        self._tls_copy = TlsCopy(home, share) if share else None
        self._certificate_at = 0.0
        self._files = share.files if share else ensure_private_directory(home / "envoy")
        self._snapshots = ensure_private_directory(self._files / "snapshots")
        self._follow_policy()
        self.envoy = Envoy(
            self.config.directory,
            self._settings,
            gate=GateStart(
                gate_library(),
                self._environment(),
                self._fresh_key,
                GATE_KEY_LIFETIME.total_seconds() * _RESTART_MARGIN,
            ),
            concurrency=self.config.concurrency,
            share=share,
            records=records,
        )

    def start(self, timeout: float = 20.0) -> None:
        """Start Envoy and follow the policy; EngineError if it does not get ready, or while there is an `obstacle`.

        An Envoy elsewhere waits for its key itself, and is not waited for.
        """
        make = ensure_private_directory if self._share is None else take_back  # an Envoy elsewhere may have opened it
        make(self.config.journal)
        with ExitStack() as held:
            if self._share is not None and self._tls_copy is not None:
                held.enter_context(self._share.held())
                self._tls_copy.follow()
            self.envoy.start(timeout)
            self._held = held.pop_all()
        self._watcher.start()

    def obstacle(self) -> str:
        """What a start waits for, by the policy as it is now: `starts at ...`; empty when it may start, or serves.

        EngineError, OSError or ProfileError for a policy or key that cannot be used. Only before `start`.
        """
        self._follow_policy()
        record = self.envoy.record
        if record is not None and record.lives():
            return ""  # its gate has its key
        return self._key_obstacle(self._signer(datetime.now(UTC)), _now_ms())

    def stop(self) -> None:
        """Drain and end."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        self.envoy.stop()
        self._held.close()

    def __enter__(self) -> "Broker":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def snapshot_version(self) -> int:
        """The version last offered to the gate."""
        return self._gate.version if self._gate else 0

    @property
    def snapshot_created_ms(self) -> int:
        """When that one was made; calls are refused once it is too old."""
        return self._alarm.created_ms

    def statistics(self) -> dict[str, int]:
        """The gate's own counters and gauges."""
        found = self.envoy.admin.stats("(dynamicmodulescustom\\.)?govbus")
        return {name.removeprefix("dynamicmodulescustom."): value for name, value in found.items()}

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_SECONDS):
            self._sound_alarm()
            try:
                if self._follow_policy():
                    self.envoy.apply()
            except (OSError, ValueError, EngineError) as error:
                log.warning("the replaced policy is not used: %s; the former one serves on", error)
            self._follow_certificate()

    def _follow_certificate(self) -> None:
        """Envoy follows the home's own certificate itself; where it does not see the home, it is given a copy."""
        if self._tls_copy is not None and time.monotonic() >= self._certificate_at:
            try:
                self._tls_copy.follow()
            except (OSError, ValueError) as error:
                self._certificate_at = time.monotonic() + _AGAIN_SECONDS
                log.warning("the renewed certificate is not used: %s; the former one serves on", error)

    def _sound_alarm(self) -> None:
        """Past alarm-after the policy's age is told, again and again (protocol.md 9); the gate refuses on its own."""
        age_ms = _now_ms() - self._alarm.created_ms
        if age_ms > self._alarm.after_ms and time.monotonic() >= self._alarm.next_at:
            self._alarm.next_at = time.monotonic() + _ALARM_SECONDS
            log.warning("policy version %d is %d min old; publish a new one", self.snapshot_version, age_ms // 60_000)

    def _follow_policy(self) -> bool:
        """Take in what was replaced; True when anything changed."""
        config = self.config
        now = {path: _Stamp.of(path) for path in (config.snapshot, config.endpoints)}
        if now == self._stamps:
            return False
        self._stamps = now
        endpoints = parse_endpoints(config.endpoints.read_bytes())
        tables = self._take_snapshot(config.snapshot.read_bytes())
        live: dict[str, list[bytes]] = {provider: [] for provider in endpoints}
        for digest, subsystem in live_certificates(tables):
            if subsystem in live:
                live[subsystem].append(digest)
        self._upstreams = tuple(
            Upstream(parse_spiffe_id(provider).dns_name, addresses, tuple(live[provider]))
            for provider, addresses in sorted(endpoints.items())
        )
        return True

    def _take_snapshot(self, data: bytes) -> bytes:
        """Offer it to the gate; its tables. Their own order is judged here at the start, later by the gate alone."""
        config = self.config
        floor = self._gate.version if self._gate else 0
        try:
            header, tables = verify_signed(
                data, config.policy_key_point, config.identity.trust_domain, BROKER_SCOPE, _now_ms(), floor
            )
            if self._gate is None:
                Policy(tables)
        except (SnapshotError, PolicyError) as error:
            raise EngineError(f"{config.snapshot}: {error}") from error
        digest = sha256(data).digest()
        path = self._snapshots / f"{header.version:012d}-{digest.hex()[:12]}.bin"
        replace_unflushed(path, data)  # made anew at every start
        self._alarm = _Alarm(header.created_at_ms, header.alarm_after_ms)
        for old in sorted(self._snapshots.glob("*.bin"))[:-_KEPT_SNAPSHOTS]:
            with contextlib.suppress(OSError):
                old.unlink()
        self._gate = GateFilter(path, header.version, digest)
        return tables

    def _settings(self, admin: Path) -> EdgeSettings:
        config, tls = self.config, self._tls
        return EdgeSettings(
            broker=config.identity.spiffe_id,
            listen=config.listen,
            admin_socket=admin,
            directory=self._files,
            tls=TlsFiles(tls, tls / "tls" / "chain.pem", tls / "tls" / "key.pem", tls / "trust.pem"),
            upstreams=self._upstreams,
            gate=self._gate,
            trace_collector=config.trace_collector,
            drain_seconds=config.drain_seconds,
        )

    def _environment(self) -> dict[str, str]:
        config = self.config
        environment = {
            "GOVBUS_BROKER": config.identity.spiffe_id,
            "GOVBUS_TRUST_DOMAIN": config.identity.trust_domain,
            "GOVBUS_POLICY_KEY": config.policy_key_point.hex(),
            "GOVBUS_JOURNAL_DIR": str(config.journal),
        }
        if config.replay_log2 is not None:
            environment["GOVBUS_REPLAY_LOG2"] = str(config.replay_log2)
        return environment

    def _check_credentials(self) -> None:
        identity = self.config.identity
        try:
            credentials = load_credentials(self.config.directory, identity.trust_domain, now=datetime.now(UTC))
        except ProfileError as error:
            raise EngineError(f"the broker's credentials cannot be used: {error}; renew them") from error
        if credentials.subsystem != identity:
            raise EngineError(f"the credentials in {self.config.directory} are not those of {identity.path}")

    def _fresh_key(self) -> bytes:
        """A gate key certified by the broker's signing key, which is read for this moment only."""
        now = datetime.now(UTC)
        signer = self._signer(now)
        if obstacle := self._key_obstacle(signer, int(now.timestamp() * 1000)):
            raise EngineError(f"{self.config.identity.path} {obstacle}")
        return make_gate_key(self.config.identity, signer, now=now).handover

    def _signer(self, now: datetime) -> Signer:
        return load_credentials(self.config.directory, self.config.identity.trust_domain, now=now).signer

    def _key_obstacle(self, signer: Signer, now_ms: int) -> str:
        """By what the gate was offered last."""
        config, gate = self.config, self._gate
        assert gate is not None  # noqa: S101 (__init__ followed the policy)
        data = gate.snapshot.read_bytes()
        # Its age is the gate's question; here it is only whose key is in force when.
        made_ms = peek_header(data).created_at_ms
        _, tables = verify_signed(
            data, config.policy_key_point, config.identity.trust_domain, BROKER_SCOPE, made_ms, gate.version
        )
        return key_obstacle(Policy(tables), signer.key_id, config.identity.spiffe_id, now_ms)


def gate_library() -> Path:
    """The built gate beside the `native` package."""
    for directory in native.__path__:
        for path in sorted(Path(directory).glob(f"lib{GATE_MODULE}*.so")):
            return path
    raise EngineError("the gate is not built; run `make env` (or install govbus again)")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
