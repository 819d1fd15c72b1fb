"""The registry's state at one moment -> the policy that snapshots are compiled from (bus.edge.policy_model).

1. Suspended and revoked subsystems, and all of a suspended member's, stand in it as inactive: refused by that name, not
   as strangers.
2. Certificates and grants that are over are left out. Signing keys stay for a day after their end, so that what was
   signed in time is refused as late, not as unknown.
3. What is not valid yet is in it: gates look at the clock themselves.
4. Limits are one broker's share of what the registry says (bus.edge.quota_share).
"""

from bus.edge.endpoint import Endpoint
from bus.edge.policy_model import PolicyDocument
from bus.edge.quota_share import divided
from bus.registry.draft import Draft
from bus.registry.state import CertificateEntry, GrantEntry, KeyEntry, RegistryState, SubsystemEntry
from native.policy_types import Agent, Certificate, PolicyTables, SigningKey, Subsystem

__all__ = [
    "agent_of",
    "brokers_of",
    "certificate_of",
    "endpoints_of",
    "grant_ends",
    "key_ends",
    "key_of",
    "policy_document",
    "subsystem_of",
]

_KEPT_MS = 86_400_000


def policy_document(state: RegistryState, now_ms: int) -> PolicyDocument:
    """The whole policy of the instance; Refusal(NOT_FOUNDED) if there is none."""
    instance = Draft(state).founded()
    tables = PolicyTables(
        subsystems=tuple(subsystem_of(state, entry) for entry in state.subsystems.values()),
        certificates=tuple(
            certificate_of(state, digest, one)
            for digest, one in state.certificates.items()
            if now_ms <= one.not_after_ms
        ),
        keys=tuple(key_of(state, key_id, one) for key_id, one in state.keys.items() if now_ms <= key_ends(one)),
        methods=tuple(state.methods.values()),
        grants=tuple(one.grant for one in state.grants.values() if now_ms <= grant_ends(one)),
        agents=tuple(agent_of(state, pair) for pair in state.agents),
    )
    return PolicyDocument(
        instance.trust_domain, instance.alarm_after_ms, instance.refuse_after_ms, divided(tables), endpoints_of(state)
    )


def brokers_of(state: RegistryState, now_ms: int) -> int:
    """Rule 4: the brokers that count, as bus.edge.quota_share counts them in the whole policy."""
    several = (one for one in state.subsystems.values() if one.is_broker and _active(state, one))
    certified = (any(now_ms <= state.certificates[each].not_after_ms for each in one.certificates) for one in several)
    return max(1, sum(certified))


def subsystem_of(state: RegistryState, entry: SubsystemEntry) -> Subsystem:
    """Rule 1; its limits are the whole ones."""
    identity = entry.identity
    return Subsystem(
        id=identity.spiffe_id,
        member=identity.spiffe_id.removesuffix(identity.subsystem),
        active=_active(state, entry),
        is_broker=entry.is_broker,
        # Envoy's cluster of a provider is called by the provider's DNS name (bus.edge.envoy_clusters).
        cluster=identity.dns_name if entry.endpoints and not entry.is_broker else "",
        calls_per_second=entry.calls_per_second,
        burst=entry.burst,
    )


def _active(state: RegistryState, entry: SubsystemEntry) -> bool:
    suspended = entry.suspended_ms is not None or state.members[entry.member].suspended_ms is not None
    return entry.revoked_ms is None and not suspended


def certificate_of(state: RegistryState, digest: bytes, entry: CertificateEntry) -> Certificate:
    """A live one."""
    return Certificate(digest, _id(state, entry.subsystem), entry.not_after_ms)


def key_of(state: RegistryState, key_id: bytes, entry: KeyEntry) -> SigningKey:
    """In its validity, revocation included."""
    return SigningKey(key_id, entry.point, _id(state, entry.subsystem), entry.not_before_ms, entry.last_ms)


def agent_of(state: RegistryState, pair: tuple[str, str]) -> Agent:
    """(agent, client) by their ids."""
    return Agent(_id(state, pair[0]), _id(state, pair[1]))


def endpoints_of(state: RegistryState) -> dict[str, tuple[Endpoint, ...]]:
    """Where each listens that does, by SPIFFE ID."""
    return {one.identity.spiffe_id: one.endpoints for one in state.subsystems.values() if one.endpoints}


def key_ends(entry: KeyEntry) -> int:
    """Rule 2: the last millisecond at which it stands in the policy; 0 for one that was never valid."""
    return entry.last_ms + _KEPT_MS if entry.last_ms >= entry.not_before_ms else 0


def grant_ends(entry: GrantEntry) -> int:
    """Rule 2: the last millisecond at which it stands in the policy; 0 for a revoked one."""
    return entry.grant.not_after_ms if entry.revoked_ms is None else 0


def _id(state: RegistryState, path: str) -> str:
    return state.subsystems[path].identity.spiffe_id
