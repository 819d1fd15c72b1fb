"""The grant that every subsystem has: its own certificate, signing key and snapshot, of the registry (RenewalService).

It is made with the enrolment, in the same transaction, and for whoever was there before the registry offered all of
it, at the registry's start. One that an operator ended is not made again. Brokers have it too.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from bus.registry.change import Change
from bus.registry.grants import RENEWAL_SERVICE, GrantMade
from bus.registry.state import RegistryState

__all__ = ["RENEWAL_PURPOSE", "enrolled", "own_grants", "renewal_provider"]

RENEWAL_PURPOSE: Final = "govbus.renewal"
_TEN_YEARS_MS: Final = 10 * 366 * 86_400_000


def renewal_provider(state: RegistryState) -> str:
    """The path of the first subsystem that offers RenewalService; empty if none does."""
    offering = (path for path, one in state.subsystems.items() if RENEWAL_SERVICE in one.services)
    return min(offering, default="")


def enrolled(state: RegistryState) -> list[str]:
    """Whoever has a signing key that is not over; the provider of RenewalService needs nothing of itself."""
    provider = renewal_provider(state)
    paths = {one.subsystem for one in state.keys.values() if one.last_ms >= state.time_ms}
    return sorted(path for path in paths if path != provider and state.subsystems[path].revoked_ms is None)


def own_grants(state: RegistryState, paths: Iterable[str], now_ms: int) -> list[Change]:
    """The grants that are missing for `paths`; none where nobody offers the service."""
    provider = renewal_provider(state)
    if not provider:
        return []
    methods = tuple(method.path for method in state.services[RENEWAL_SERVICE].methods)
    ids = {path: f"own-{sha256(path.encode()).hexdigest()[:32]}" for path in paths}
    return [
        GrantMade(grant_id, path, provider, methods, (RENEWAL_PURPOSE,), now_ms, now_ms + _TEN_YEARS_MS)
        for path, grant_id in ids.items()
        if grant_id not in state.grants
    ]
