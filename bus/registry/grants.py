"""Changes: grants made by the operator, and their quotas.

Such a grant bears no member's signature; a provider honours it only if its own configuration opts in (protocol.md 8).
Its id is used once, for ever: journals and receipts name it.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from bus.registry.change import Change
from bus.registry.draft import Draft
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.services import service_of
from bus.registry.shapes import verify_number, verify_purpose, verify_several, verify_token, verify_validity
from bus.registry.state import GrantEntry
from native.policy_types import Grant

__all__ = ["RENEWAL_SERVICE", "UNLIMITED", "GrantMade", "GrantRevoked", "Quota", "QuotaSet"]

RENEWAL_SERVICE = "govbus.registry.v1.RenewalService"
"""The one service that brokers call, too: each for its own certificate, key and snapshot."""
_U32 = 2**32 - 1
_DAILY = 10**15


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of one grant over the whole bus; 0 means none."""

    calls_per_second: int = 0
    burst: int = 0
    calls_per_day: int = 0
    bytes_per_day: int = 0

    def verify(self) -> None:
        """Refusal(MALFORMED) for a number out of range."""
        verify_number(self.calls_per_second, "calls_per_second", _U32)
        verify_number(self.burst, "burst", _U32)
        verify_number(self.calls_per_day, "calls_per_day", _DAILY)
        verify_number(self.bytes_per_day, "bytes_per_day", _DAILY)


UNLIMITED = Quota()


@dataclass(frozen=True, slots=True)
class GrantMade(Change):
    """`client` may call these methods of `provider`, for these purposes, in this time."""

    kind: ClassVar[str] = "grant.made"
    grant_id: str
    client: str
    provider: str
    methods: tuple[str, ...]
    purposes: tuple[str, ...]
    not_before_ms: int
    not_after_ms: int
    quota: Quota = UNLIMITED

    def verify(self, draft: Draft, at_ms: int) -> None:
        verify_token(self.grant_id, "a grant's id")
        client, provider = draft.subsystem(self.client), draft.subsystem(self.provider)
        own = all(service_of(method) == RENEWAL_SERVICE for method in self.methods)
        if provider.is_broker or (client.is_broker and not own):
            raise Refusal(
                RefusalReason.IS_BROKER, "a broker offers nothing, and asks for its own credentials and policy only"
            )
        for method in verify_several(self.methods, "method"):
            if method not in draft.methods:
                raise Refusal(
                    RefusalReason.UNKNOWN_METHOD,
                    f"{method} is not registered; write /package.Service/Method, and register its contract first",
                )
            if service_of(method) not in provider.services:
                raise Refusal(RefusalReason.NOT_OFFERED, f"{self.provider} does not offer {service_of(method)}")
        for purpose in verify_several(self.purposes, "purpose"):
            verify_purpose(purpose)
        verify_validity(self.not_before_ms, self.not_after_ms, at_ms)
        self.quota.verify()
        if self.grant_id in draft.grants:
            raise Refusal(RefusalReason.DUPLICATE, f"there is or was a grant {self.grant_id}; choose another id")

    def apply(self, draft: Draft, at_ms: int) -> None:
        quota = self.quota
        grant = Grant(
            grant_id=self.grant_id,
            client=draft.subsystems[self.client].identity.spiffe_id,
            provider=draft.subsystems[self.provider].identity.spiffe_id,
            methods=self.methods,
            purposes=self.purposes,
            not_before_ms=self.not_before_ms,
            not_after_ms=self.not_after_ms,
            operator_made=True,
            calls_per_second=quota.calls_per_second,
            burst=quota.burst,
            calls_per_day=quota.calls_per_day,
            bytes_per_day=quota.bytes_per_day,
        )
        draft.grants.put(self.grant_id, GrantEntry(grant, self.client, self.provider))


@dataclass(frozen=True, slots=True)
class GrantRevoked(Change):
    """Ends a grant."""

    kind: ClassVar[str] = "grant.revoked"
    grant_id: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        _grant(draft, self.grant_id)

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.grants.put(self.grant_id, replace(draft.grants[self.grant_id], revoked_ms=at_ms))


@dataclass(frozen=True, slots=True)
class QuotaSet(Change):
    """Other limits for a grant in force."""

    kind: ClassVar[str] = "grant.quota-set"
    grant_id: str
    quota: Quota

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = _grant(draft, self.grant_id).grant
        self.quota.verify()
        if Quota(found.calls_per_second, found.burst, found.calls_per_day, found.bytes_per_day) == self.quota:
            raise Refusal(RefusalReason.NO_CHANGE, f"grant {self.grant_id} has this quota already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        found, quota = draft.grants[self.grant_id], self.quota
        grant = replace(
            found.grant,
            calls_per_second=quota.calls_per_second,
            burst=quota.burst,
            calls_per_day=quota.calls_per_day,
            bytes_per_day=quota.bytes_per_day,
        )
        draft.grants.put(self.grant_id, replace(found, grant=grant))


def _grant(draft: Draft, grant_id: str) -> GrantEntry:
    found = draft.grants.get(grant_id)
    if found is None:
        raise Refusal(RefusalReason.UNKNOWN_GRANT, "there is no grant of this id")
    if found.revoked_ms is not None:
        raise Refusal(RefusalReason.ENDED, f"grant {grant_id} was revoked; that is final")
    return found
