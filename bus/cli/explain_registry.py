"""What the registry knew when a call was refused: the operator's half of a reason that tells its caller little.

A caller learns NO_GRANT whether the provider is unknown, suspended, or never granted it anything (protocol.md 5). Who
can read the registry may know which. It is read at the position of its log that the judging snapshot reflects, which
the journal names; only what has a window of its own is held against the moment of the refusal, as the gate does
(decision 0037). Where the journal does not name a position, the registry at that moment counts.
"""

from typing import Final

from bus.evidence.explain import Judged
from bus.registry.registry import Registry
from bus.registry.state import GrantEntry, RegistryState
from bus.up.report_parts import iso
from native.headers import RequestHeader
from pki.identity import parse_spiffe_id

__all__ = ["grant_speaks_against", "known_at", "known_of", "state_of"]

_BY_GRANT: Final = frozenset({"NO_GRANT"})
_BY_VOLUME: Final = frozenset({"RATE_LIMITED", "QUOTA_EXCEEDED"})


def known_at(registry: Registry, judged: Judged) -> tuple[str, ...]:
    """What speaks against the request, and whether the registry had gone on by then; nothing for other reasons."""
    then, state = registry.state_at_time(judged.time_ms), state_of(registry, judged)
    if judged.reason in _BY_VOLUME:
        return _limits(state, judged.request)
    if judged.reason not in _BY_GRANT:
        return ()
    found = known_of(state, judged.request, judged.time_ms)
    if then.position > state.position and known_of(then, judged.request, judged.time_ms) != found:
        return (*found, f"that was changed by {iso(then.time_ms)}, which policy version {judged.version} does not know")
    return found


def state_of(registry: Registry, judged: Judged) -> RegistryState:
    """By what the request was judged."""
    if judged.position is None:
        return registry.state_at_time(judged.time_ms)
    return registry.state_at(judged.position)


def grant_speaks_against(state: RegistryState, request: RequestHeader, time_ms: int) -> bool:
    """Whether it would have been refused with everybody at work, too, for want of a grant that fits."""
    client, provider = parse_spiffe_id(request.client).path, parse_spiffe_id(request.provider).path
    grant = state.grants.get(request.grant_id)
    fits = grant is not None and not _grant(grant, request, (client, provider), time_ms)
    return not fits or request.method not in state.methods


def known_of(state: RegistryState, request: RequestHeader, time_ms: int) -> tuple[str, ...]:
    """What in `state` speaks against `request` at `time_ms`; never empty."""
    client, provider = parse_spiffe_id(request.client).path, parse_spiffe_id(request.provider).path
    found = [*_subsystem(state, "client", client), *_subsystem(state, "provider", provider)]
    if provider in state.subsystems and not state.subsystems[provider].endpoints:
        found.append(
            f"the provider {provider} has said no address to be called at; start it, or: govbus subsystem show"
        )
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
    """Which of its client, provider, time, method and purpose does not fit."""
    grant, name = entry.grant, request.grant_id
    found = [
        f"grant {name} is for the {role} {has}, not for {asked}"
        for role, has, asked in zip(("client", "provider"), (entry.client, entry.provider), parties, strict=True)
        if has != asked
    ]
    if entry.revoked_ms is not None:
        found.append(f"grant {name} was revoked at {iso(entry.revoked_ms)}")
    if time_ms < grant.not_before_ms:
        found.append(f"grant {name} begins at {iso(grant.not_before_ms)}")
    if time_ms > grant.not_after_ms:
        found.append(f"grant {name} ended at {iso(grant.not_after_ms)}")
    if request.method not in grant.methods:
        found.append(f"grant {name} does not have the method {request.method[1:]}; see govbus grant show {name}")
    if request.purpose not in grant.purposes:
        found.append(f"grant {name} is for the purpose {' or '.join(grant.purposes)}, not for {request.purpose}")
    return found


def _limits(state: RegistryState, request: RequestHeader) -> tuple[str, ...]:
    """What the grant and the peer may, of the whole instance: each broker has its share."""
    entry, client = state.grants.get(request.grant_id), state.subsystems.get(parse_spiffe_id(request.client).path)
    found = []
    if entry is not None:
        grant = entry.grant
        told = {
            "calls a second": grant.calls_per_second,
            "calls a day": grant.calls_per_day,
            "bytes a day": grant.bytes_per_day,
        }
        said = [f"{number:,} {what}" for what, number in told.items() if number]
        found += [f"grant {request.grant_id} allows {', '.join(said)}, shared among the brokers"] if said else []
    if client is not None and client.calls_per_second:
        found.append(f"as a peer {client.identity.path} may call {client.calls_per_second:,} times a second")
    return tuple(found)
