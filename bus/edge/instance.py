"""A whole instance in one state directory: made once, published when its policy changes, renewed once a day.

    <state>/                            0700
      authority/                        root and issuing CA (pki.authority)
      policy-signing-key.pem            signs snapshots; policy-key.pem is its public half, pinned by everybody
      policy.yaml  contracts.binpb      the readable policy and the contracts it speaks of
      ports.json                        loopback ports, chosen once
      snapshots/                        what was published last
      brokers/<class>.<member>.<name>/      credentials, broker.yaml, snapshot.bin, endpoints.json, journal/, envoy/
      subsystems/<class>.<member>.<name>/   credentials, config.yaml, snapshot.bin

Each subsystem's directory is its own 0700 and refers to nothing outside itself: it can be carried to its owner's
machine, and no two processes need to read the same key. Nothing here starts anything.
KNOWN: whoever makes an instance this way holds every key at that moment. Enrolment, where keys never leave their
owner, comes with the registry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bus.edge.broker_file import BROKER_FILE
from bus.edge.endpoint import Endpoint
from bus.edge.instance_files import broker_yaml, policy_yaml, subsystem_yaml
from bus.edge.nation import Nation, SubsystemPlan
from bus.edge.policy_file import parse_policy
from bus.edge.policy_model import PolicyDocument
from bus.edge.ports import keep_ports
from bus.edge.snapshot_files import BROKER_SNAPSHOT, CompiledPolicy, compile_snapshots, peek_header, publish
from native.snapshot import BROKER_SCOPE
from pki import files
from pki.authority import Authority
from pki.credentials import issue_credentials
from pki.identity import SubsystemId, parse_spiffe_id
from pki.keys import encode_public_pem
from pki.signer import FileSigner

__all__ = ["Instance", "make_instance"]

POLICY = "policy.yaml"
CONFIG = "config.yaml"
_BACKDATE_MS = 300_000


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance on disk."""

    state: Path
    trust_domain: str

    @classmethod
    def open(cls, state: Path) -> "Instance":
        """The instance in `state`; OSError or YamlFileError if there is none, or its policy is wrong."""
        state = state.absolute()
        return cls(state, _read_policy(state).trust_domain)

    def subsystem_id(self, path: str) -> SubsystemId:
        """`gov/mps/population` in this trust domain."""
        return SubsystemId(self.trust_domain, *path.split("/"))

    def broker_home(self, path: str) -> Path:
        """The directory to hand to a broker."""
        return self.state / "brokers" / path.replace("/", ".")

    def home(self, path: str) -> Path:
        """The directory of a subsystem; its config.yaml is what connect and serve take."""
        return self.state / "subsystems" / path.replace("/", ".")

    def config(self, path: str) -> Path:
        """The configuration file of a subsystem."""
        return self.home(path) / CONFIG

    def policy(self) -> PolicyDocument:
        """The policy as it stands in policy.yaml."""
        return _read_policy(self.state)

    @property
    def policy_key_point(self) -> bytes:
        """The pinned public key of snapshots, 65 bytes."""
        return self._signer().public_point

    @property
    def version(self) -> int:
        """The version published last; 0 before the first."""
        path = self.state / "snapshots" / BROKER_SNAPSHOT
        return peek_header(path.read_bytes()).version if path.exists() else 0

    def publish(self, *, now: datetime) -> CompiledPolicy:
        """Compile policy.yaml into the next version and put every part where its reader looks."""
        document = self.policy()
        version = self.version + 1
        now_ms = int(now.timestamp() * 1000)
        # No registry log yet: the version stands for the position, so that both only ever grow.
        compiled = compile_snapshots(document, self._signer(), version=version, log_position=version, now_ms=now_ms)
        publish(compiled, files.ensure_private_directory(self.state / "snapshots"))
        for subsystem in document.tables.subsystems:
            identity = parse_spiffe_id(subsystem.id)
            if subsystem.is_broker:
                home = self.broker_home(identity.path)
                files.write_atomic(home / "endpoints.json", compiled.endpoints)
                files.write_atomic(home / BROKER_FILE, broker_yaml(document, identity))
                files.write_atomic(home / "snapshot.bin", compiled.snapshots[BROKER_SCOPE])
            elif (home := self.home(identity.path)).is_dir():
                files.write_atomic(home / CONFIG, subsystem_yaml(document, identity))
                files.write_atomic(home / "snapshot.bin", compiled.snapshots[subsystem.id])
        return compiled

    def renew(self, *, now: datetime, paths: Sequence[str] | None = None) -> CompiledPolicy:
        """New TLS certificates for everyone, or for `paths`; then publish, which makes them live.

        KNOWN: the former ones are dead at once, so that calls are refused until the subsystem has read its new one
        (half a second; they may be repeated). The registry's renewal (protocol.md 1) lets both live: no gap.
        """
        authority = Authority.open(self.state, self.trust_domain, now=now)
        for subsystem in self.policy().tables.subsystems:
            identity = parse_spiffe_id(subsystem.id)
            if paths is None or identity.path in paths:
                home = self.broker_home(identity.path) if subsystem.is_broker else self.home(identity.path)
                issue_credentials(authority, identity, home, now=now)
        return self.publish(now=now)

    def _signer(self) -> FileSigner:
        return FileSigner.load(self.state / "policy-signing-key.pem")


def make_instance(state: Path, nation: Nation, *, now: datetime) -> Instance:
    """Make the instance, or bring the one in `state` in line with `nation`: keys, ports and versions are kept."""
    state = files.ensure_private_directory(state.absolute())
    instance = Instance(state, nation.trust_domain)
    authority = Authority.open(state, nation.trust_domain, now=now)
    signer = FileSigner.load_or_create(state / "policy-signing-key.pem")
    public = encode_public_pem(signer.public_point)
    files.write_atomic(state / "policy-key.pem", public, mode=files.PUBLIC)
    files.write_atomic(state / "contracts.binpb", nation.contracts, mode=files.PUBLIC)
    brokers = [(one, instance.broker_home(one.path)) for one in nation.brokers]
    for plan, home in (*brokers, *((one, instance.home(one.path)) for one in nation.subsystems)):
        files.ensure_private_directory(home.parent)
        issue_credentials(authority, instance.subsystem_id(plan.path), home, now=now)
        files.write_atomic(home / "policy-key.pem", public, mode=files.PUBLIC)
    endpoints = _endpoints(state, nation)
    now_ms = int(now.timestamp() * 1000)
    text = policy_yaml(nation, endpoints, since_ms=_since(state, now_ms), now_ms=now_ms)
    files.write_atomic(state / POLICY, text, mode=files.PUBLIC)
    instance.publish(now=now)
    return instance


def _endpoints(state: Path, nation: Nation) -> dict[str, tuple[Endpoint, ...]]:
    def serves(plan: SubsystemPlan) -> bool:
        return plan in nation.brokers or plan.serves

    plans = (*nation.brokers, *nation.subsystems)
    ports = keep_ports(state, (one.path for one in plans if serves(one) and not one.listen))
    chosen = {one.path: (Endpoint("127.0.0.1", ports[one.path]),) for one in plans if serves(one) and not one.listen}
    return chosen | {one.path: one.listen for one in plans if one.listen}


def _since(state: Path, now_ms: int) -> int:
    """When keys and grants become valid: a little ago, for clocks that differ and gate keys that are backdated.

    An instance that is made again keeps its first answer, so that evidence of earlier calls stays verifiable.
    """
    if not (state / POLICY).exists():
        return now_ms - _BACKDATE_MS
    return min((key.not_before_ms for key in _read_policy(state).tables.keys), default=now_ms)


def _read_policy(state: Path) -> PolicyDocument:
    path = state / POLICY
    return parse_policy(path.read_bytes(), name=str(path), read=lambda name: (state / name).read_bytes())
