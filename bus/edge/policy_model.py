"""The policy of one instance as values: the tables that are compiled, and what is not compiled: addresses and ages.

Which part of the tables a subsystem receives is decided here too, because that is a matter of policy: `ScopeIndex`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from bus.edge.endpoint import Endpoint
from native.policy import PolicyTables

__all__ = ["PolicyDocument", "ScopeIndex", "scope_for"]


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
    """One scope; for many use ScopeIndex."""
    return ScopeIndex(tables).scope(identity)


class ScopeIndex:
    """Cuts the part of each subsystem out of one policy, in time that follows the part, not the whole."""

    def __init__(self, tables: PolicyTables) -> None:
        self._tables = tables
        self._position = {one.id: position for position, one in enumerate(tables.subsystems)}
        self._brokers = [one.id for one in tables.subsystems if one.is_broker]
        self._methods = {method.path: position for position, method in enumerate(tables.methods)}
        self._certificates = _by(tables.certificates, lambda one: (one.subsystem,))
        self._keys = _by(tables.keys, lambda one: (one.subsystem,))
        self._grants = _by(tables.grants, lambda one: {one.client, one.provider})
        self._agents = _by(tables.agents, lambda one: {one.agent, one.client})

    def scope(self, identity: str) -> PolicyTables:
        """What the subsystem `identity` (SPIFFE ID) needs to call and to serve, and nobody else's business.

        Itself; the brokers, with certificates and keys; the grants that name it, with the keys (no certificates) of
        the subsystem at the other end; its own member's agents, with certificates; the methods of those grants.
        """
        tables = self._tables
        grants = tuple(self._grants[identity])
        agents = tuple(self._agents[identity])
        connecting = self._ordered({identity, *self._brokers, *(one.agent for one in agents)})
        ends = {end for grant in grants for end in (grant.client, grant.provider)}
        known = self._ordered({*connecting, *ends, *(one.client for one in agents)})
        methods = sorted({self._methods[path] for grant in grants for path in grant.methods})
        return replace(
            tables,
            subsystems=tuple(tables.subsystems[self._position[one]] for one in known),
            certificates=tuple(found for one in connecting for found in self._certificates[one]),
            keys=tuple(found for one in known for found in self._keys[one]),
            methods=tuple(tables.methods[position] for position in methods),
            grants=grants,
            agents=agents,
        )

    def _ordered(self, names: set[str]) -> list[str]:
        """In the policy's own order, so that equal policies give equal parts."""
        return sorted(names, key=self._position.__getitem__)


_Entry = TypeVar("_Entry")


def _by(entries: Iterable[_Entry], names: Callable[[_Entry], Iterable[str]]) -> defaultdict[str, list[_Entry]]:
    found: defaultdict[str, list[_Entry]] = defaultdict(list)
    for entry in entries:
        for name in names(entry):
            found[name].append(entry)
    return found
