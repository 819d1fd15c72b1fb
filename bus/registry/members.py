"""Changes: the instance itself, and its members. Called by the operator."""

from dataclasses import dataclass, replace
from typing import ClassVar

from bus.registry.change import Change
from bus.registry.draft import Draft
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.shapes import verify_label, verify_name, verify_number
from bus.registry.state import InstanceEntry, MemberEntry
from pki.identity import IdentityError, verify_trust_domain

__all__ = ["AgesSet", "InstanceFounded", "MemberAdded", "MemberRenamed", "MemberResumed", "MemberSuspended"]

_LONGEST_AGE_MS = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class InstanceFounded(Change):
    """The first event of every log: whose names stand in it, and how old a snapshot may grow."""

    kind: ClassVar[str] = "instance.founded"
    trust_domain: str
    alarm_after_ms: int = 6 * 3_600_000
    refuse_after_ms: int = 24 * 3_600_000

    def verify(self, draft: Draft, at_ms: int) -> None:
        if draft.position or draft.instance:
            raise Refusal(RefusalReason.DUPLICATE, "this registry was founded already; use another database")
        try:
            verify_trust_domain(self.trust_domain)
        except IdentityError as error:
            raise Refusal(RefusalReason.MALFORMED, str(error)) from error
        _verify_ages(self.alarm_after_ms, self.refuse_after_ms)

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.instance = InstanceEntry(self.trust_domain, self.alarm_after_ms, self.refuse_after_ms, at_ms)


@dataclass(frozen=True, slots=True)
class AgesSet(Change):
    """Ages at which a snapshot that nobody renews grows loud, and then refuses (protocol.md 9)."""

    kind: ClassVar[str] = "instance.ages-set"
    alarm_after_ms: int
    refuse_after_ms: int

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = draft.founded()
        _verify_ages(self.alarm_after_ms, self.refuse_after_ms)
        if (found.alarm_after_ms, found.refuse_after_ms) == (self.alarm_after_ms, self.refuse_after_ms):
            raise Refusal(RefusalReason.NO_CHANGE, "both ages are these already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.instance = replace(
            draft.founded(), alarm_after_ms=self.alarm_after_ms, refuse_after_ms=self.refuse_after_ms
        )


@dataclass(frozen=True, slots=True)
class MemberAdded(Change):
    """An organisation joins, as `<class>/<code>`, with its names in Vietnamese and English."""

    kind: ClassVar[str] = "member.added"
    member_class: str
    code: str
    name_vi: str
    name_en: str

    @property
    def path(self) -> str:
        return f"{self.member_class}/{self.code}"

    def verify(self, draft: Draft, at_ms: int) -> None:
        draft.founded()
        verify_label(self.member_class, "the class of a member")
        verify_label(self.code, "the code of a member")
        _verify_names(self.name_vi, self.name_en)
        if self.path in draft.members:
            raise Refusal(RefusalReason.DUPLICATE, f"{self.path} is a member already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.members.put(self.path, MemberEntry(self.member_class, self.code, self.name_vi, self.name_en))


@dataclass(frozen=True, slots=True)
class MemberRenamed(Change):
    """Other names for people; the code stays."""

    kind: ClassVar[str] = "member.renamed"
    member: str
    name_vi: str
    name_en: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        found = draft.member(self.member)
        _verify_names(self.name_vi, self.name_en)
        if (found.name_vi, found.name_en) == (self.name_vi, self.name_en):
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.member} is called so already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.members.put(self.member, replace(draft.members[self.member], name_vi=self.name_vi, name_en=self.name_en))


@dataclass(frozen=True, slots=True)
class MemberSuspended(Change):
    """None of its subsystems calls or serves until it is resumed; nothing is lost."""

    kind: ClassVar[str] = "member.suspended"
    member: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        if draft.member(self.member).suspended_ms is not None:
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.member} is suspended already")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.members.put(self.member, replace(draft.members[self.member], suspended_ms=at_ms))


@dataclass(frozen=True, slots=True)
class MemberResumed(Change):
    """Ends a suspension; subsystems suspended one by one stay so."""

    kind: ClassVar[str] = "member.resumed"
    member: str

    def verify(self, draft: Draft, at_ms: int) -> None:
        if draft.member(self.member).suspended_ms is None:
            raise Refusal(RefusalReason.NO_CHANGE, f"{self.member} is not suspended")

    def apply(self, draft: Draft, at_ms: int) -> None:
        draft.members.put(self.member, replace(draft.members[self.member], suspended_ms=None))


def _verify_names(name_vi: str, name_en: str) -> None:
    verify_name(name_vi, "the Vietnamese name")
    verify_name(name_en, "the English name")


def _verify_ages(alarm_after_ms: int, refuse_after_ms: int) -> None:
    verify_number(refuse_after_ms, "refuse_after_ms", _LONGEST_AGE_MS, lowest=1_000)
    verify_number(alarm_after_ms, "alarm_after_ms", refuse_after_ms, lowest=1_000)
