"""The grants that every subsystem has of the instance's own services:

- of the registry, its own certificate, signing key, snapshot and trust (RenewalService); brokers have it too
- of the ledger, checkpoints and proofs (LedgerService), whose answers tell nobody anything that he does not hold

They are made with the enrolment, in the same transaction, and for whoever was there before the services were offered,
at the registry's start. One that an operator ended is not made again.

They bear rates, far above what an honest home asks, so that nobody fills the services with questions; an operator may
set others (`govbus grant quota`). No limit of a day: who asked too often must not lose its certificate for it, and what
one can record is bounded by what may be live of it (bus.registry.keys).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bus.registry.change import Change
from bus.registry.grants import RENEWAL_SERVICE, GrantMade, Quota
from bus.registry.state import RegistryState

__all__ = ["EVIDENCE_PURPOSE", "LEDGER_SERVICE", "RENEWAL_PURPOSE", "enrolled", "own_grants", "renewal_provider"]

LEDGER_SERVICE: Final = "govbus.ledger.v1.LedgerService"
RENEWAL_PURPOSE: Final = "govbus.renewal"
EVIDENCE_PURPOSE: Final = "govbus.evidence"
_TEN_YEARS_MS: Final = 10 * 366 * 86_400_000


@dataclass(frozen=True, slots=True)
class _Own:
    """One service, and how the grants for it are called."""

    service: str
    prefix: str
    purpose: str
    quota: Quota
    brokers: Quota | None
    """Theirs; None where they have no grant."""


_SERVICES: Final = (
    # A process of a home: a question for policy at most every second, a renewal some times a day, a key some times a
    # year. A broker reads the whole policy by the megabyte, at every change: 50 calls for 200,000 grants.
    _Own(RENEWAL_SERVICE, "own", RENEWAL_PURPOSE, Quota(20, 200), Quota(200, 2_000)),
    # Two or three calls for each call that somebody proves.
    _Own(LEDGER_SERVICE, "ledger", EVIDENCE_PURPOSE, Quota(50, 500), None),
)


def renewal_provider(state: RegistryState) -> str:
    """The path of the first subsystem that offers RenewalService; empty if none does."""
    return _provider(state, RENEWAL_SERVICE)


def enrolled(state: RegistryState) -> list[str]:
    """Whoever has a signing key that is not over; the provider of RenewalService needs nothing of itself."""
    provider = renewal_provider(state)
    paths = {one.subsystem for one in state.keys.values() if one.last_ms >= state.time_ms}
    return sorted(path for path in paths if path != provider and state.subsystems[path].revoked_ms is None)


def own_grants(state: RegistryState, paths: Iterable[str], now_ms: int) -> list[Change]:
    """The grants that are missing for `paths`; none of a service that nobody offers."""
    asked = tuple(paths)
    return [grant for own in _SERVICES for grant in _missing(state, own, asked, now_ms)]


def _missing(state: RegistryState, own: _Own, paths: tuple[str, ...], now_ms: int) -> Iterator[Change]:
    provider = _provider(state, own.service)
    if not provider:
        return
    methods = tuple(method.path for method in state.services[own.service].methods)
    for path in paths:
        grant_id = f"{own.prefix}-{sha256(path.encode()).hexdigest()[:32]}"
        quota = own.brokers if state.subsystems[path].is_broker else own.quota
        if grant_id in state.grants or path == provider or quota is None:
            continue
        yield GrantMade(grant_id, path, provider, methods, (own.purpose,), now_ms, now_ms + _TEN_YEARS_MS, quota)


def _provider(state: RegistryState, service: str) -> str:
    offering = (path for path, one in state.subsystems.items() if service in one.services)
    return min(offering, default="")
