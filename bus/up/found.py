"""What must be there before the parts can run: made at the first start, found at every later one.

1. Every step may be taken again: whatever a first start had made when it was killed is used, and nothing is half there.
2. The registry is founded by one transaction: instance, the operator's member, its broker with address, certificate
   and signing key. Either the log is empty or all of that stands in it.
3. A later start gives the broker a new certificate where its own is not live or past two thirds of its life, and a new
   signing key where its own is over or was revoked. A signing key that the registry does not know is refused: it may be
   another broker's, and only a person can say.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from bus.edge.endpoint import Endpoint
from bus.edge.instance_files import broker_yaml
from bus.edge.ports import keep_ports
from bus.engines.supervisor import EngineError
from bus.registry.change import Change
from bus.registry.fold import Act
from bus.registry.keys import SigningKeyAdded
from bus.registry.members import InstanceFounded, MemberAdded
from bus.registry.policy import policy_document
from bus.registry.registry import Registry
from bus.registry.state import RegistryState
from bus.registry.subsystems import EndpointsSet, SubsystemAdded
from bus.up.broker import is_due, live_digest, make_fresh
from bus.up.layout import Facts, Layout
from bus.up.signing_key import SIGNING_KEY, Step, rotate_signing_key
from pki import files
from pki.authority import Authority
from pki.keys import encode_public_pem
from pki.signer import FileSigner

__all__ = ["SUPERVISOR", "found_registry", "make_keys", "provide_broker"]

SUPERVISOR: Final = "govbus:supervisor"
"""The operator of what the supervisor records by itself."""
_FOUNDING: Final = Act(SUPERVISOR, "first start")
_NAMES: Final = ("Trung tâm Dữ liệu quốc gia", "National Data Centre")
_YEAR_MS: Final = 365 * 86_400_000
_BACKDATE_MS: Final = 300_000
_STEP_SECONDS: Final = 1.0


def make_keys(layout: Layout, facts: Facts, *, now: datetime) -> Authority:
    """Authority, policy key and the brokers' signing keys, with what of them is public beside their readers."""
    _verify_kept(layout)
    authority = Authority.open(layout.state, facts.trust_domain, now=now)
    pem = encode_public_pem(FileSigner.load_or_create(layout.policy_signing_key).public_point)
    files.write_atomic(layout.policy_key, pem, mode=files.PUBLIC)
    for home in map(layout.broker_home, layout.broker_paths(facts)):
        files.ensure_private_directory(home.parent)
        files.ensure_private_directory(home)
        FileSigner.load_or_create(home / SIGNING_KEY)
        files.write_atomic(home / "policy-key.pem", pem, mode=files.PUBLIC)
    return authority


def _verify_kept(layout: Layout) -> None:
    """What members pin is made once: where a policy was published, a lost one is not replaced by another unasked."""
    if (layout.state / "snapshots" / "published.json").exists():
        for path in (layout.state / "authority" / "issuing-key.pem", layout.policy_signing_key):
            if not path.exists():
                raise EngineError(f"{path} is gone, and members believe no other; restore it from a backup")


def found_registry(
    layout: Layout, facts: Facts, registry: Registry, authority: Authority, *, now: datetime, listen: Endpoint | None
) -> RegistryState:
    """The registry's state, founded if its log is empty; EngineError if it is another instance's."""
    state = registry.state()
    if state.instance is None:
        changes = _founding(layout, facts, authority, now, listen)
        registry.record(changes, _FOUNDING)
        state = registry.state()
    if state.instance is None or state.instance.trust_domain != facts.trust_domain:
        raise EngineError(
            f"the registry in this database is not that of {facts.trust_domain}; give the right --database-url"
        )
    if facts.broker not in state.subsystems:
        raise EngineError(f"the registry in this database knows no {facts.broker}; give the right --database-url")
    if listen is not None and listen not in state.subsystems[facts.broker].endpoints:
        raise EngineError(
            "--listen is for the first start; now say it to the registry: govbus subsystem endpoints"
            f" {facts.broker} {listen}"
        )
    return state


def provide_broker(
    layout: Layout,
    facts: Facts,
    path: str,
    registry: Registry,
    authority: Authority,
    clock_ms: Callable[[], int],
    *,
    running: bool,
) -> None:
    """(3), and the broker's broker.yaml as the registry says, which counts from its next start.

    `running`: it serves already, and bus.up.broker_part replaces what ends without stopping a call.
    """
    home, identity = layout.broker_home(path), layout.identity(facts, path)
    key = registry.state().keys.get(FileSigner.load(home / SIGNING_KEY).key_id)
    if key is None or key.subsystem != path:
        raise EngineError(f"the signing key in {home} is not one of {path} in the registry; restore it from a backup")
    if not running:
        if key.last_ms <= clock_ms():
            while rotate_signing_key(home, path, registry, clock_ms) is Step.WAITING:
                time.sleep(_STEP_SECONDS)
        now = datetime.fromtimestamp(clock_ms() / 1000, UTC)
        if live_digest(home) not in registry.state().certificates or is_due(home, now):
            fresh = make_fresh(authority, identity, now=now)
            registry.record([fresh.change], Act(SUPERVISOR, "certificate of the broker renewed at its start"))
            fresh.use(home)
    document = policy_document(registry.state(), clock_ms())
    if identity.spiffe_id not in document.endpoints:
        raise EngineError(
            f"the registry has no address for {path}; set one: govbus subsystem endpoints {path} HOST:PORT"
        )
    files.write_atomic(home / "broker.yaml", broker_yaml(document, identity))


def _founding(
    layout: Layout, facts: Facts, authority: Authority, now: datetime, listen: Endpoint | None
) -> list[Change]:
    member_class, code, _ = facts.broker.split("/")
    home = layout.broker_home(facts.broker)
    chosen = listen or Endpoint("127.0.0.1", keep_ports(layout.state, [facts.broker])[facts.broker])
    signer = FileSigner.load(home / SIGNING_KEY)
    fresh = make_fresh(authority, layout.identity(facts), now=now)
    # Before it is recorded: recorded and lost it would only cost a renewal, but it is the founding moment's one.
    fresh.use(home)
    since_ms = int(now.astimezone(UTC).timestamp() * 1000) - _BACKDATE_MS
    return [
        InstanceFounded(facts.trust_domain),
        MemberAdded(member_class, code, *_NAMES),
        SubsystemAdded(facts.broker, is_broker=True),
        EndpointsSet(facts.broker, (str(chosen),)),
        fresh.change,
        SigningKeyAdded(facts.broker, signer.key_id, signer.public_point, since_ms, since_ms + _YEAR_MS),
    ]
