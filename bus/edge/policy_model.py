"""The policy of one instance as values: the tables that are compiled, and what is not compiled: addresses and ages.

Which part of the tables a subsystem receives is decided where it is cut out of them: native/core/policy_cut.pxi.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bus.edge.endpoint import Endpoint
from native.policy import PolicyTables

__all__ = ["PolicyDocument"]


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """The whole policy; every name in it is that of a listed subsystem or method."""

    trust_domain: str
    alarm_after_ms: int
    refuse_after_ms: int
    tables: PolicyTables
    endpoints: Mapping[str, tuple[Endpoint, ...]]
    """Where a subsystem listens, by SPIFFE ID; absent when it only calls."""
