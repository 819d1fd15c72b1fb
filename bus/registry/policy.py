"""The registry's state at one moment -> the policy that snapshots are compiled from (bus.edge.policy_model).

1. Suspended and revoked subsystems, and all of a suspended member's, stand in it as inactive: refused by that name, not
   as strangers.
2. Certificates and grants that are over are left out. Signing keys stay for a day after their end, so that what was
   signed in time is refused as late, not as unknown.
3. What is not valid yet is in it: gates look at the clock themselves.
"""

from bus.edge.policy_model import PolicyDocument
from bus.registry.draft import Draft
from bus.registry.state import RegistryState, SubsystemEntry
from native.policy_types import Agent, Certificate, PolicyTables, SigningKey, Subsystem

__all__ = ["policy_document"]

_KEPT_MS = 86_400_000


def policy_document(state: RegistryState, now_ms: int) -> PolicyDocument:
    """The whole policy of the instance; Refusal(NOT_FOUNDED) if there is none."""
    instance = Draft(state).founded()
    subsystems = state.subsystems
    ids = {path: entry.identity.spiffe_id for path, entry in subsystems.items()}
    tables = PolicyTables(
        subsystems=tuple(_subsystem(state, entry) for entry in subsystems.values()),
        certificates=tuple(
            Certificate(digest, ids[one.subsystem], one.not_after_ms)
            for digest, one in state.certificates.items()
            if one.not_after_ms >= now_ms
        ),
        keys=tuple(
            SigningKey(key_id, key.point, ids[key.subsystem], key.not_before_ms, key.last_ms)
            for key_id, key in state.keys.items()
            if key.last_ms >= max(key.not_before_ms, now_ms - _KEPT_MS)
        ),
        methods=tuple(state.methods.values()),
        grants=tuple(
            entry.grant
            for entry in state.grants.values()
            if entry.revoked_ms is None and entry.grant.not_after_ms >= now_ms
        ),
        agents=tuple(Agent(ids[agent], ids[client]) for agent, client in state.agents),
    )
    endpoints = {ids[path]: entry.endpoints for path, entry in subsystems.items() if entry.endpoints}
    return PolicyDocument(instance.trust_domain, instance.alarm_after_ms, instance.refuse_after_ms, tables, endpoints)


def _subsystem(state: RegistryState, entry: SubsystemEntry) -> Subsystem:
    identity = entry.identity
    return Subsystem(
        id=identity.spiffe_id,
        member=identity.spiffe_id.removesuffix(identity.subsystem),
        active=entry.revoked_ms is None
        and entry.suspended_ms is None
        and state.members[entry.member].suspended_ms is None,
        is_broker=entry.is_broker,
        # Envoy's cluster of a provider is called by the provider's DNS name (bus.edge.envoy_clusters).
        cluster=identity.dns_name if entry.endpoints and not entry.is_broker else "",
    )
