"""Changes: enrolment tokens. The log holds the hash of a token's secret, never the secret (protocol.md 1).

A token names one subsystem, lives an hour and is used once: TokenUsed stands in the same transaction as the certificate
and the key that were issued for it, so that a token is never burned for nothing and never issues twice.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from bus.registry.change import Change
from bus.registry.draft import Draft
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.shapes import verify_digest, verify_operator, verify_validity
from bus.registry.state import TokenEntry

__all__ = ["TOKEN_LIFETIME_MS", "TokenIssued", "TokenUsed", "TokenWithdrawn", "usable_token"]

TOKEN_LIFETIME_MS = 3_600_000
_REMEMBERED_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class TokenIssued(Change):
    """Whoever shows the secret within the hour may enrol this subsystem. `operator` answers for it."""

    kind: ClassVar[str] = "token.issued"
    secret_hash: bytes
    """SHA-256 of the 32 random bytes in the token."""
    subsystem: str
    operator: str
    not_after_ms: int
    again: bool = False
    """It may be enrolled already. Then the token adds a second signing key and certificate and ends neither of the
    former: whoever held those keys goes on as the subsystem, until they are revoked or end."""

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.subsystem(self.subsystem)
        verify_digest(self.secret_hash, "the hash of a token's secret")
        verify_operator(self.operator)
        verify_validity(at_ms, self.not_after_ms, at_ms)
        if self.not_after_ms > at_ms + TOKEN_LIFETIME_MS:
            raise Refusal(RefusalReason.VALIDITY, "an enrolment token lives an hour at most")
        if not self.again and any(
            one.subsystem == self.subsystem and one.last_ms >= at_ms for one in draft.keys.values()
        ):
            raise Refusal(
                RefusalReason.IN_USE,
                f"{self.subsystem} is enrolled: it has a signing key that is not over; a token with --again adds"
                " another one and ends none, so revoke what was lost (govbus key revoke)",
            )
        if self.secret_hash in draft.tokens:
            raise Refusal(RefusalReason.DUPLICATE, "this token was issued already; make another secret")

    def apply(self, draft: Draft, at_ms: int) -> None:
        for old in [one for one, found in draft.tokens.items() if found.not_after_ms < at_ms - _REMEMBERED_MS]:
            draft.tokens.drop(old)
        draft.tokens.put(self.secret_hash, TokenEntry(self.subsystem, self.operator, self.not_after_ms))


@dataclass(frozen=True, slots=True)
class TokenUsed(Change):
    """The token was shown, and what follows in the same transaction was issued for it."""

    kind: ClassVar[str] = "token.used"
    secret_hash: bytes

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.subsystem(usable_token(draft.tokens.get(self.secret_hash), at_ms).subsystem)

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.tokens.put(self.secret_hash, replace(draft.tokens[self.secret_hash], used_ms=at_ms))


@dataclass(frozen=True, slots=True)
class TokenWithdrawn(Change):
    """It is not to be used any more."""

    kind: ClassVar[str] = "token.withdrawn"
    secret_hash: bytes

    def verify(self, draft: Draft, at_ms: int) -> None:
        usable_token(draft.tokens.get(self.secret_hash), at_ms)

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.tokens.drop(self.secret_hash)


def usable_token(token: TokenEntry | None, at_ms: int) -> TokenEntry:
    """The token, or Refusal: UNKNOWN_TOKEN, TOKEN_USED, TOKEN_EXPIRED."""
    if token is None:
        raise Refusal(RefusalReason.UNKNOWN_TOKEN, "no such token was issued here; ask the operator for one")
    if token.used_ms is not None:
        raise Refusal(RefusalReason.TOKEN_USED, "this token was used already; ask the operator for a new one")
    if token.not_after_ms <= at_ms:
        raise Refusal(RefusalReason.TOKEN_EXPIRED, "this token is past its end; ask the operator for a new one")
    return token
