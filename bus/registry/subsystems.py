"""Changes: subsystems, where they listen, how much they may call, and which one carries for others as an agent."""

from dataclasses import dataclass, replace
from typing import ClassVar

from bus.edge.endpoint import parse_endpoint
from bus.registry.change import Change
from bus.registry.draft import Draft
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.shapes import verify_endpoints, verify_number
from bus.registry.state import SubsystemEntry
from pki.identity import IdentityError, SubsystemId, verify_same_member

__all__ = [
    "AgentAppointed",
    "AgentDismissed",
    "EndpointsSet",
    "RateSet",
    "SubsystemAdded",
    "SubsystemResumed",
    "SubsystemRevoked",
    "SubsystemSuspended",
]

_U32 = 2**32 - 1


@dataclass(frozen=True, slots=True)
class SubsystemAdded(Change):
    """A system of a member, `<class>/<member>/<subsystem>`; a broker instance is one too."""

    kind: ClassVar[str] = "subsystem.added"
    subsystem: str
    is_broker: bool = False

    def verify(self, draft: Draft, at_ms: int) -> None:
        trust_domain = draft.founded().trust_domain
        parts = self.subsystem.split("/")
        if len(parts) != 3:
            raise Refusal(RefusalReason.MALFORMED, "write a subsystem as <class>/<member>/<subsystem>")
        try:
            SubsystemId(trust_domain, *parts)
        except IdentityError as error:
            raise Refusal(RefusalReason.MALFORMED, str(error)) from error
        draft.member("/".join(parts[:2]))
        if self.subsystem in draft.subsystems:
            raise Refusal(RefusalReason.DUPLICATE, f"{self.subsystem} is or was a subsystem; choose another name")

    def apply(self, draft: Draft, at_ms: int) -> None:
        identity = SubsystemId(draft.founded().trust_domain, *self.subsystem.split("/"))
        draft.subsystems.put(self.subsystem, SubsystemEntry(identity, self.is_broker))


@dataclass(frozen=True, slots=True)
class SubsystemSuspended(Change):
    """It neither calls nor serves until it is resumed; keys, certificates and grants stay."""

    kind: ClassVar[str] = "subsystem.suspended"
    subsystem: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        if draft.subsystem(self.subsystem).suspended_ms is not None:
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.subsystem} is suspended already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.subsystems.put(self.subsystem, replace(draft.subsystems[self.subsystem], suspended_ms=at_ms))


@dataclass(frozen=True, slots=True)
class SubsystemResumed(Change):
    """Ends a suspension of this subsystem; its member's own is another matter."""

    kind: ClassVar[str] = "subsystem.resumed"
    subsystem: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        if draft.subsystem(self.subsystem).suspended_ms is None:
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.subsystem} is not suspended")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.subsystems.put(self.subsystem, replace(draft.subsystems[self.subsystem], suspended_ms=None))


@dataclass(frozen=True, slots=True)
class SubsystemRevoked(Change):
    """Ends it for ever, and with it its keys, certificates, endpoints, offers, agents and grants."""

    kind: ClassVar[str] = "subsystem.revoked"
    subsystem: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.subsystem(self.subsystem)

    def apply(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystems[self.subsystem]
        for digest in found.certificates:
            draft.certificates.drop(digest)
        for key_id, key in tuple(draft.keys.items()):
            if key.subsystem == self.subsystem and key.revoked_ms is None:
                draft.keys.put(key_id, replace(key, revoked_ms=at_ms))
        for grant_id, grant in tuple(draft.grants.items()):
            if self.subsystem in (grant.client, grant.provider) and grant.revoked_ms is None:
                draft.grants.put(grant_id, replace(grant, revoked_ms=at_ms))
        for pair in tuple(draft.agents):
            if self.subsystem in pair:
                draft.agents.drop(pair)
        draft.subsystems.put(
            self.subsystem, replace(found, revoked_ms=at_ms, certificates=(), endpoints=(), services=())
        )


@dataclass(frozen=True, slots=True)
class EndpointsSet(Change):
    """Where it listens now, in place of what was there; several are balanced, none means that it only calls."""

    kind: ClassVar[str] = "subsystem.endpoints-set"
    subsystem: str
    endpoints: tuple[str, ...]

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystem(self.subsystem)
        verify_endpoints(self.endpoints)
        if found.endpoints == tuple(parse_endpoint(one) for one in self.endpoints):
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.subsystem} listens there already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        endpoints = tuple(parse_endpoint(one) for one in self.endpoints)
        draft.subsystems.put(self.subsystem, replace(draft.subsystems[self.subsystem], endpoints=endpoints))


@dataclass(frozen=True, slots=True)
class RateSet(Change):
    """How much it may call as a peer, over all its grants and whomever it carries for, in place of what was there.

    Over the whole bus; 0 calls a second means no limit, a burst of 0 as many at once as in a second.
    """

    kind: ClassVar[str] = "subsystem.rate-set"
    subsystem: str
    calls_per_second: int = 0
    burst: int = 0

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystem(self.subsystem)
        verify_number(self.calls_per_second, "calls_per_second", _U32)
        verify_number(self.burst, "burst", _U32)
        if self.burst and not self.calls_per_second:
            raise Refusal(RefusalReason.MALFORMED, "a burst bounds nothing without calls_per_second; give both")
        if found.is_broker:
            raise Refusal(RefusalReason.IS_BROKER, "a broker passes on what others call; limit them")
        if (found.calls_per_second, found.burst) == (self.calls_per_second, self.burst):
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.subsystem} has this limit already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        found = draft.subsystems[self.subsystem]
        draft.subsystems.put(self.subsystem, replace(found, calls_per_second=self.calls_per_second, burst=self.burst))


@dataclass(frozen=True, slots=True)
class AgentAppointed(Change):
    """`agent` may carry requests that `client` signed; both are of one member."""

    kind: ClassVar[str] = "agent.appointed"
    agent: str
    client: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        agent, client = draft.subsystem(self.agent), draft.subsystem(self.client)
        if self.agent == self.client:
            raise Refusal(RefusalReason.MALFORMED, "nobody needs to be its own agent")
        try:
            verify_same_member(agent.identity, client.identity)
        except IdentityError as error:
            raise Refusal(RefusalReason.OTHER_MEMBER, str(error)) from error
        if agent.is_broker or client.is_broker:
            raise Refusal(RefusalReason.IS_BROKER, "a broker neither is nor has an agent")
        if (self.agent, self.client) in draft.agents:
            raise Refusal(RefusalReason.DUPLICATE, f"{self.agent} is an agent of {self.client} already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.agents.put((self.agent, self.client), at_ms)


@dataclass(frozen=True, slots=True)
class AgentDismissed(Change):
    """Ends an appointment."""

    kind: ClassVar[str] = "agent.dismissed"
    agent: str
    client: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        if (self.agent, self.client) not in draft.agents:
            raise Refusal(RefusalReason.UNKNOWN_AGENT, "there is no such appointment")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.agents.drop((self.agent, self.client))
