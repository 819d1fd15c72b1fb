"""What the registry knew when a call was refused: the operator's half of a reason that tells its caller little.

A caller learns NO_GRANT whether the provider is unknown, suspended, or never granted it anything (protocol.md 5). Who
can read the registry may know which. It is read at the time that the broker wrote down; the broker judged by a snapshot
that may have been a moment older, so each line is said of the registry and never of the broker.
"""

from bus.registry.state import GrantEntry, RegistryState
from bus.up.report_parts import iso
from native.headers import RequestHeader
from pki.identity import parse_spiffe_id

__all__ = ["known_of"]


def known_of(state: RegistryState, request: RequestHeader, time_ms: int) -> tuple[str, ...]:
    """What in `state`, the registry's at `time_ms`, speaks against `request`; never empty."""
    client, provider = parse_spiffe_id(request.client).path, parse_spiffe_id(request.provider).path
    found = [*_subsystem(state, "client", client), *_subsystem(state, "provider", provider)]
    grant = state.grants.get(request.grant_id)
    if grant is None:
        found.append(f"there was no grant {request.grant_id}")
    else:
        found += _grant(grant, request, (client, provider), time_ms)
    if request.method not in state.methods:
        found.append(f"no contract declared {request.method[1:]}")
    return tuple(found) or ("nothing spoke against it: the broker judged by a policy before or after a change",)


def _subsystem(state: RegistryState, role: str, path: str) -> list[str]:
    entry = state.subsystems.get(path)
    if entry is None:
        return [f"the {role} {path} was not registered"]
    if entry.revoked_ms is not None:
        return [f"the {role} {path} was revoked at {iso(entry.revoked_ms)}"]
    member = state.members[entry.member]
    found = []
    if member.suspended_ms is not None:
        found.append(f"{entry.member}, the {role}'s member, was suspended since {iso(member.suspended_ms)}")
    if entry.suspended_ms is not None:
        found.append(f"the {role} {path} was suspended since {iso(entry.suspended_ms)}")
    return found


def _grant(entry: GrantEntry, request: RequestHeader, parties: tuple[str, str], time_ms: int) -> list[str]:
    grant, name = entry.grant, request.grant_id
    if (entry.client, entry.provider) != parties:
        return [f"grant {name} is {entry.client}'s for {entry.provider}"]
    found = []
    if entry.revoked_ms is not None:
        found.append(f"grant {name} was revoked at {iso(entry.revoked_ms)}")
    if not grant.not_before_ms <= time_ms <= grant.not_after_ms:
        found.append(f"grant {name} holds from {iso(grant.not_before_ms)} to {iso(grant.not_after_ms)}")
    if request.method not in grant.methods:
        found.append(f"grant {name} does not have {request.method[1:]}")
    if request.purpose not in grant.purposes:
        found.append(f"grant {name} is for {' or '.join(grant.purposes)}")
    return found
