"""What is to be done about a refusal that a suspension caused: the operator ends it; no grant helps.

The reason alone advises wrongly there: its caller is told NO_GRANT, whatever it is (protocol.md 5), and to ask for a
grant. Who can read the registry is told what to give, or that somebody ended it meanwhile.
"""

from typing import Final

from bus.cli.explain_registry import grant_speaks_against, state_of
from bus.evidence.ending import path_of
from bus.evidence.explain import Judged
from bus.registry.registry import Registry
from bus.registry.state import RegistryState
from native.headers import RequestHeader

__all__ = ["advice_at"]

_OF_PROVIDER: Final = "NO_GRANT"
_OF_CLIENT: Final = "SUBSYSTEM_SUSPENDED"


def advice_at(registry: Registry, judged: Judged, usual: tuple[str, ...], again: str) -> tuple[str, ...]:
    """In place of the `usual` advice, or that where nobody was suspended. `again`: how commands name the state."""
    if judged.reason not in (_OF_PROVIDER, _OF_CLIENT):
        return usual
    state, now = state_of(registry, judged), registry.state()
    held = _suspended(state, judged.request)
    if not held:
        return usual
    still = _suspended(now, judged.request)
    client = path_of(judged.request.client)
    found = [
        f"operator: once its cause is gone: govbus {kind} resume {name} --reason WHY{again}"
        if (kind, name) in still
        else f"operator: {name} is suspended no more"
        for kind, name in held
    ]
    if judged.reason == _OF_CLIENT or grant_speaks_against(state, judged.request, judged.time_ms):
        return (*usual, *found)
    helps = "ask the operator; while it is suspended, no grant helps"
    first = helps if any(one in still for one in held) else "call again: it is suspended no more"
    return (f"{client}: {first}", *found)


def _suspended(state: RegistryState, request: RequestHeader) -> list[tuple[str, str]]:
    """What the operator resumes, and its name: of client and provider, whatever of both is suspended for a while."""
    found: dict[tuple[str, str], None] = {}
    for path in (path_of(request.client), path_of(request.provider)):
        entry = state.subsystems.get(path)
        if entry is None or entry.revoked_ms is not None:
            continue
        if state.members[entry.member].suspended_ms is not None:
            found["member", entry.member] = None
        if entry.suspended_ms is not None:
            found["subsystem", path] = None
    return list(found)
