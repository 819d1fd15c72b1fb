"""Every kind of change by its name in the log. A name that ever stood in a log stays here."""

from typing import Final

from bus.registry.change import Change
from bus.registry.clock import ClockSetBack
from bus.registry.enrolment_tokens import TokenIssued, TokenUsed, TokenWithdrawn
from bus.registry.grants import GrantMade, GrantRevoked, QuotaSet
from bus.registry.keys import (
    CertificateAdded,
    CertificateRevoked,
    IssuerRevoked,
    SigningKeyAdded,
    SigningKeyRetired,
    SigningKeyRevoked,
)
from bus.registry.members import (
    AgesSet,
    InstanceFounded,
    MemberAdded,
    MemberRenamed,
    MemberResumed,
    MemberSuspended,
)
from bus.registry.services import ServiceOffered, ServiceRegistered, ServiceRevised, ServiceWithdrawn
from bus.registry.subsystems import (
    AgentAppointed,
    AgentDismissed,
    EndpointsSet,
    RateSet,
    SubsystemAdded,
    SubsystemResumed,
    SubsystemRevoked,
    SubsystemSuspended,
)

__all__ = ["KINDS"]

KINDS: Final[dict[str, type[Change]]] = {
    one.kind: one
    for one in (
        InstanceFounded,
        AgesSet,
        ClockSetBack,
        MemberAdded,
        MemberRenamed,
        MemberSuspended,
        MemberResumed,
        SubsystemAdded,
        SubsystemSuspended,
        SubsystemResumed,
        SubsystemRevoked,
        EndpointsSet,
        RateSet,
        AgentAppointed,
        AgentDismissed,
        CertificateAdded,
        CertificateRevoked,
        IssuerRevoked,
        SigningKeyAdded,
        SigningKeyRetired,
        SigningKeyRevoked,
        ServiceRegistered,
        ServiceRevised,
        ServiceOffered,
        ServiceWithdrawn,
        GrantMade,
        GrantRevoked,
        QuotaSet,
        TokenIssued,
        TokenUsed,
        TokenWithdrawn,
    )
}
