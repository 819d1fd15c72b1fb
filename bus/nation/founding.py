"""What of a plan the registry does not know yet, as changes that an operator might have made with `govbus member`,
`subsystem`, `service` and `grant`.

Whatever was recorded, ended ones included, is left as it is: an operator who revoked a grant finds it revoked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import FileDescriptor

from bus.edge.nation import contract_image
from bus.nation.members import GrantRow
from bus.registry.change import Change
from bus.registry.contracts import contract_changes
from bus.registry.grants import GrantMade, Quota
from bus.registry.members import MemberAdded
from bus.registry.services import ServiceOffered
from bus.registry.state import RegistryState
from bus.registry.subsystems import EndpointsSet, SubsystemAdded

__all__ = ["Plan", "founding", "grant_made"]

_YEAR_MS: Final = 365 * 86_400_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be there."""

    members: Mapping[str, tuple[str, str]]
    """Path -> names in Vietnamese and English."""
    systems: Iterable[str]
    brokers: Iterable[str]
    offers: Mapping[str, str]
    """Path -> the service that it offers."""
    grants: Iterable[GrantRow]
    contracts: Iterable[FileDescriptor]


def founding(
    plan: Plan, state: RegistryState, ports: Mapping[str, int], now_ms: int
) -> tuple[list[Change], dict[bytes, bytes]]:
    """What Registry.record takes; no change at all where everything is there. `ports`: of whoever listens."""
    changes: list[Change] = [
        MemberAdded(path.partition("/")[0], path.partition("/")[2], vietnamese, english)
        for path, (vietnamese, english) in plan.members.items()
        if path not in state.members
    ]
    missing = [path for path in plan.systems if path not in state.subsystems]
    brokers = [path for path in plan.brokers if path not in state.subsystems]
    changes += [SubsystemAdded(path, is_broker=path in brokers) for path in (*missing, *brokers)]
    changes += [
        EndpointsSet(path, (f"127.0.0.1:{port}",))
        for path, port in ports.items()
        if path not in state.subsystems or not state.subsystems[path].endpoints
    ]
    contracts, files = contract_changes(state, contract_image(plan.contracts, comments=True))
    changes += contracts
    changes += [
        ServiceOffered(path, service)
        for path, service in plan.offers.items()
        if path not in state.subsystems or service not in state.subsystems[path].services
    ]
    changes += [grant_made(row, now_ms) for row in plan.grants if row.grant_id not in state.grants]
    return changes, files


def grant_made(row: GrantRow, now_ms: int) -> GrantMade:
    """For a year."""
    limits = Quota(calls_per_day=row.calls_per_day)
    return GrantMade(
        row.grant_id, row.client, row.provider, row.methods, row.purposes, now_ms, now_ms + _YEAR_MS, limits
    )
