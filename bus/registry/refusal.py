"""Why the registry refuses a change: one named reason each. Tests, services and metrics use it, never the text."""

from enum import StrEnum

__all__ = ["Refusal", "RefusalReason"]


class RefusalReason(StrEnum):
    """The first rule that a change broke."""

    NOT_FOUNDED = "not-founded"
    """The log is empty; found the instance first."""
    MALFORMED = "malformed"
    """A value has the wrong shape; the text says which and how to write it."""
    DUPLICATE = "duplicate"
    """There is one of this name already, or there was one and names are not used twice."""
    NO_CHANGE = "no-change"
    """It is so already: suspended twice, resumed while active, the same text again."""
    UNKNOWN_MEMBER = "unknown-member"
    UNKNOWN_SUBSYSTEM = "unknown-subsystem"
    UNKNOWN_CERTIFICATE = "unknown-certificate"
    """No live certificate with this digest."""
    UNKNOWN_KEY = "unknown-key"
    UNKNOWN_SERVICE = "unknown-service"
    UNKNOWN_METHOD = "unknown-method"
    UNKNOWN_GRANT = "unknown-grant"
    UNKNOWN_AGENT = "unknown-agent"
    UNKNOWN_TOKEN = "unknown-token"  # noqa: S105 - a reason
    """No enrolment token of this instance; of an old one nothing is remembered."""
    TOKEN_USED = "token-used"  # noqa: S105 - a reason
    """An enrolment token is used once."""
    TOKEN_EXPIRED = "token-expired"  # noqa: S105 - a reason
    """An enrolment token lives an hour."""
    ENDED = "ended"
    """It was revoked, and that is final; make a new one under another name."""
    KEY_KNOWN = "key-known"
    """This key was registered before, for whomever and whatever. A key belongs to one subsystem for ever and is never
    both a signing and a TLS key; make a new one."""
    WEAK_KEY = "weak-key"
    """Not a P-256 key in its one encoding, or one that anybody can guess."""
    VALIDITY = "validity"
    """Ends before it starts, is over already, or is longer than the profile allows."""
    TOO_SOON = "too-soon"
    """A signing key starts no sooner than 10 s after its publication (protocol.md 1)."""
    OTHER_MEMBER = "other-member"
    """Both must belong to one member."""
    IS_BROKER = "is-broker"
    """A broker is neither client nor provider; name the subsystems behind it."""
    ISSUER_REVOKED = "issuer-revoked"
    """The issuing CA was revoked; its certificates are not live any more."""
    NOT_OFFERED = "not-offered"
    """The provider does not offer the service of this method."""
    IN_USE = "in-use"
    """Something that is in force refers to it; end that first."""
    CONTRACT_BREAKS = "contract-breaks"
    """The contract would break who relies on a registered one; make it a new version of the package."""
    CONTRACT_UNCOMPARED = "contract-uncompared"
    """Whether the contract breaks a registered one could not be found out within the limits; nothing was recorded."""
    CLOCK_BEHIND = "clock-behind"
    """The clock is behind the last event; correct it, or if it is right, say so (bus.registry.clock)."""
    CLOCK_STEPPED = "clock-stepped"
    """The clock was set since the start; correct it, or if it is right now, start anew."""
    ATTACHMENT = "attachment"
    """A file that the change names was not given with it, or is another one."""


class Refusal(ValueError):
    """A change that is not recorded. Nothing of the request it came with is recorded either."""

    def __init__(self, reason: RefusalReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
