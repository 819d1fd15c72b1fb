"""The policy of one instance as values: the tables that are compiled, and what is not compiled: addresses and ages.

Which part of the tables a subsystem receives is decided here too, because that is a matter of policy: `scope_for`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bus.edge.endpoint import Endpoint
from native.policy import PolicyTables

__all__ = ["PolicyDocument", "scope_for"]


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """The whole policy; every name in it is that of a listed subsystem or method."""

    trust_domain: str
    alarm_after_ms: int
    refuse_after_ms: int
    tables: PolicyTables
    endpoints: Mapping[str, tuple[Endpoint, ...]]
    """Where a subsystem listens, by SPIFFE ID; absent when it only calls."""


def scope_for(tables: PolicyTables, identity: str) -> PolicyTables:
    """The part that the subsystem `identity` (SPIFFE ID) needs to call and to serve, and nobody else's business.

    Itself; the brokers, with certificates and keys; the grants that name it, with the keys (no certificates) of the
    subsystem at the other end; its own member's agents, with certificates; the methods of those grants.
    """
    grants = tuple(grant for grant in tables.grants if identity in (grant.client, grant.provider))
    agents = tuple(agent for agent in tables.agents if identity in (agent.client, agent.agent))
    connecting = {identity, *(agent.agent for agent in agents), *(one.id for one in tables.subsystems if one.is_broker)}
    known = connecting | {end for grant in grants for end in (grant.client, grant.provider)}
    known |= {agent.client for agent in agents}
    methods = {path for grant in grants for path in grant.methods}
    return replace(
        tables,
        subsystems=tuple(one for one in tables.subsystems if one.id in known),
        certificates=tuple(one for one in tables.certificates if one.subsystem in connecting),
        keys=tuple(one for one in tables.keys if one.subsystem in known),
        methods=tuple(method for method in tables.methods if method.path in methods),
        grants=grants,
        agents=agents,
    )
