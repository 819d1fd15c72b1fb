"""What the registry refuses, each by its reason; and that a refusal leaves nothing behind."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from bus.registry.change import Change
from bus.registry.fold import Act, propose
from bus.registry.grants import GrantRevoked, Quota, QuotaSet
from bus.registry.keys import CertificateRevoked, IssuerRevoked, SigningKeyRevoked
from bus.registry.members import (
    AgesSet,
    InstanceFounded,
    MemberAdded,
    MemberRenamed,
    MemberResumed,
    MemberSuspended,
)
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.services import ServiceOffered, ServiceRevised, ServiceWithdrawn
from bus.registry.subsystems import (
    AgentAppointed,
    AgentDismissed,
    EndpointsSet,
    SubsystemAdded,
    SubsystemResumed,
    SubsystemRevoked,
    SubsystemSuspended,
)
from native.policy_types import Method, MethodKind
from tests.bus.registry.support import (
    ACT,
    BROKER,
    CIVIL,
    DAY,
    GET,
    HOUR,
    ISSUER,
    LIST,
    NOW,
    POPULATION,
    SERVICE,
    Log,
    certificate,
    grant,
    key_id,
    nation,
    point,
    service,
    signing_key,
)

UNKNOWN = "gov/mps/nobody"
DIGEST = hashlib.sha256(b"something else").digest()
SHORTER = ServiceRevised(SERVICE, DIGEST, service().methods[:1])
STREAMING = ServiceRevised(SERVICE, DIGEST, (Method(GET, MethodKind.SERVER_STREAM), Method(LIST, MethodKind.UNARY)))

REFUSED: dict[str, tuple[str, Callable[[], Change]]] = {
    "founded twice": ("duplicate", lambda: InstanceFounded("other.example")),
    "same ages": ("no-change", lambda: AgesSet(6 * HOUR, 24 * HOUR)),
    "alarm after refusal": ("malformed", lambda: AgesSet(2 * HOUR, HOUR)),
    "member twice": ("duplicate", lambda: MemberAdded("gov", "mps", "Bộ", "Ministry")),
    "class with a slash": ("malformed", lambda: MemberAdded("gov/x", "moh", "Bộ Y tế", "Ministry of Health")),
    "code in upper case": ("malformed", lambda: MemberAdded("gov", "MOH", "Bộ Y tế", "Ministry of Health")),
    "name with a line break": ("malformed", lambda: MemberAdded("gov", "moh", "Bộ\nY tế", "Ministry of Health")),
    "name with a direction override": ("malformed", lambda: MemberAdded("gov", "moh", "Bộ \u202eY tế", "Health")),
    "name of two lines by Unicode": ("malformed", lambda: MemberAdded("gov", "moh", "Bộ\u2028Y tế", "Health")),
    "name decomposed": ("malformed", lambda: MemberAdded("gov", "moh", "Bo\u0323\u0302 Y te", "Health")),
    "name empty": ("malformed", lambda: MemberAdded("gov", "moh", "", "Ministry of Health")),
    "same names": ("no-change", lambda: MemberRenamed("gov/moj", "Bộ Tư pháp", "Ministry of Justice")),
    "unknown member renamed": ("unknown-member", lambda: MemberRenamed("gov/x", "a", "b")),
    "unknown member suspended": ("unknown-member", lambda: MemberSuspended("gov/x")),
    "member resumed while active": ("no-change", lambda: MemberResumed("gov/moj")),
    "subsystem of nobody": ("unknown-member", lambda: SubsystemAdded("gov/moh/vaccines")),
    "subsystem twice": ("duplicate", lambda: SubsystemAdded(POPULATION)),
    "subsystem with two segments": ("malformed", lambda: SubsystemAdded("gov/mps")),
    "subsystem with a dot": ("malformed", lambda: SubsystemAdded("gov/mps/a.b")),
    "unknown subsystem suspended": ("unknown-subsystem", lambda: SubsystemSuspended(UNKNOWN)),
    "subsystem resumed while active": ("no-change", lambda: SubsystemResumed(POPULATION)),
    "endpoint without a port": ("malformed", lambda: EndpointsSet(POPULATION, ("127.0.0.1",))),
    "endpoint twice": ("malformed", lambda: EndpointsSet(POPULATION, ("127.0.0.1:1", "127.0.0.1:1"))),
    "same endpoints": ("no-change", lambda: EndpointsSet(CIVIL, ())),
    "agent of another member": ("other-member", lambda: AgentAppointed(POPULATION, CIVIL)),
    "own agent": ("malformed", lambda: AgentAppointed(CIVIL, CIVIL)),
    "unknown agent dismissed": ("unknown-agent", lambda: AgentDismissed(POPULATION, CIVIL)),
    "certificate of nobody": ("unknown-subsystem", lambda: certificate(UNKNOWN, "x")),
    "certificate twice": ("duplicate", lambda: certificate(CIVIL, "population-1")),
    "certificate over": ("validity", lambda: certificate(CIVIL, "x", not_before=NOW - DAY)),
    "certificate for two days": ("validity", lambda: certificate(CIVIL, "x", hours=48)),
    "certificate for a signing key": ("key-known", lambda: replace(certificate(CIVIL, "x"), key_id=key_id("civil"))),
    "certificate digest too short": ("malformed", lambda: replace(certificate(CIVIL, "x"), digest=b"short")),
    "unknown certificate revoked": ("unknown-certificate", lambda: CertificateRevoked(DIGEST)),
    "signing key of nobody": ("unknown-subsystem", lambda: signing_key(UNKNOWN, "x")),
    "signing key of the same": ("key-known", lambda: signing_key(CIVIL, "civil")),
    "signing key of another": ("key-known", lambda: signing_key(CIVIL, "population")),
    "signing key at once": ("too-soon", lambda: signing_key(CIVIL, "x", not_before=NOW + 10_000)),
    "signing key backwards": ("validity", lambda: signing_key(CIVIL, "x", not_after=NOW + HOUR)),
    "signing key under another's id": ("malformed", lambda: replace(signing_key(CIVIL, "x"), key_id=DIGEST)),
    "signing key off the curve": ("weak-key", lambda: replace(signing_key(CIVIL, "x"), point=b"\4" + bytes(64))),
    "signing key cut short": ("weak-key", lambda: replace(signing_key(CIVIL, "x"), point=point("x")[:-1])),
    "unknown key revoked": ("unknown-key", lambda: SigningKeyRevoked(DIGEST)),
    "issuer id too short": ("malformed", lambda: IssuerRevoked(b"")),
    "service twice": ("duplicate", service),
    "service without methods": ("malformed", lambda: replace(service(), service="a.B", methods=())),
    "method of another service": ("malformed", lambda: replace(service(), service="vn.other.v1.OtherService")),
    "method that lives too long": (
        "malformed",
        lambda: replace(service(), service="a.B", methods=(Method("/a.B/C", max_lifetime_ms=300_001),)),
    ),
    "unknown service revised": ("unknown-service", lambda: ServiceRevised("a.B", DIGEST, (Method("/a.B/C"),))),
    "revision that drops a method": ("contract-breaks", lambda: SHORTER),
    "revision that streams differently": ("contract-breaks", lambda: STREAMING),
    "revision of nothing": ("no-change", lambda: ServiceRevised(SERVICE, service().image, service().methods)),
    "unknown service offered": ("unknown-service", lambda: ServiceOffered(CIVIL, "a.B")),
    "service offered twice": ("duplicate", lambda: ServiceOffered(POPULATION, SERVICE)),
    "service offered by a broker": ("is-broker", lambda: ServiceOffered(BROKER, SERVICE)),
    "service withdrawn by another": ("not-offered", lambda: ServiceWithdrawn(CIVIL, SERVICE)),
    "service withdrawn while granted": ("in-use", lambda: ServiceWithdrawn(POPULATION, SERVICE)),
    "grant twice": ("duplicate", grant),
    "grant of nobody": ("unknown-subsystem", lambda: replace(grant("g"), client=UNKNOWN)),
    "grant of a broker": ("is-broker", lambda: replace(grant("g"), client=BROKER)),
    "grant for an unknown method": ("unknown-method", lambda: replace(grant("g"), methods=("/a.B/C",))),
    "grant for a method not offered": ("not-offered", lambda: replace(grant("g"), provider=CIVIL, client=POPULATION)),
    "grant for nothing": ("malformed", lambda: replace(grant("g"), methods=())),
    "grant for a method twice": ("malformed", lambda: replace(grant("g"), methods=(GET, GET))),
    "grant without purpose": ("malformed", lambda: replace(grant("g"), purposes=())),
    "grant with a spoken purpose": ("malformed", lambda: replace(grant("g"), purposes=("Civil birth",))),
    "grant that is over": ("validity", lambda: replace(grant("g"), not_before_ms=1, not_after_ms=2)),
    "grant id with a space": ("malformed", lambda: grant("a b")),
    "negative quota": ("malformed", lambda: replace(grant("g"), quota=Quota(calls_per_day=-1))),
    "quota beyond its field": ("malformed", lambda: QuotaSet("grant-1", Quota(burst=2**32))),
    "same quota": ("no-change", lambda: QuotaSet("grant-1", Quota())),
    "unknown grant revoked": ("unknown-grant", lambda: GrantRevoked("g")),
}


@pytest.mark.parametrize(("reason", "change"), REFUSED.values(), ids=REFUSED.keys())
def test_change_is_refused(reason: str, change: Callable[[], Change]) -> None:
    assert Log(nation()).refusal(change()) == reason


def test_nothing_is_recorded_before_the_instance_is_founded() -> None:
    for change in nation()[1:]:
        assert Log().refusal(change) in ("not-founded", "unknown-member", "unknown-subsystem")
    assert Log().refusal(*nation()[1:]) == "not-founded"


def test_one_refused_change_refuses_the_whole_request() -> None:
    log = Log(nation())
    before = log.state
    assert log.refusal(SubsystemSuspended(CIVIL), SubsystemSuspended(UNKNOWN)) == "unknown-subsystem"
    assert log.state == before
    assert log.state.subsystems[CIVIL].suspended_ms is None


@pytest.mark.parametrize(
    "act", [Act("", "why"), Act("Nguyễn Văn A", "why"), Act("ops:a", ""), Act("ops:a", "x" * 501), Act("ops:a", "a\nb")]
)
def test_who_and_why_are_always_said(act: Act) -> None:
    with pytest.raises(Refusal) as refused:
        propose(Log(nation()).state, [SubsystemSuspended(CIVIL)], act, NOW)
    assert refused.value.reason is RefusalReason.MALFORMED


def test_revoked_subsystem_is_over_for_ever_with_all_it_had() -> None:
    log = Log(nation())
    log.record(SubsystemAdded("gov/moj/agent"), AgentAppointed("gov/moj/agent", CIVIL))
    log.record(SubsystemRevoked(CIVIL))
    assert log.state.grants["grant-1"].revoked_ms is not None
    assert log.state.keys[key_id("civil")].revoked_ms is not None
    assert certificate(CIVIL, "civil-1").digest not in log.state.certificates
    assert log.state.agents == {}
    for change in (
        SubsystemAdded(CIVIL),
        SubsystemResumed(CIVIL),
        certificate(CIVIL, "new"),
        signing_key(CIVIL, "new"),
    ):
        assert log.refusal(change) in ("duplicate", "ended")
    assert log.refusal(signing_key(POPULATION, "civil")) == "key-known"
    assert log.refusal(GrantRevoked("grant-1")) == "ended"
    assert log.refusal(grant()) == "ended"


def test_revoked_key_is_never_registered_again() -> None:
    log = Log(nation())
    log.record(SigningKeyRevoked(key_id("civil")))
    assert log.refusal(SigningKeyRevoked(key_id("civil"))) == "no-change"
    for subsystem in (CIVIL, POPULATION):
        assert log.refusal(signing_key(subsystem, "civil")) == "key-known"


def test_revoked_issuer_takes_its_certificates_with_it() -> None:
    log = Log(nation())
    other = replace(certificate(CIVIL, "other"), issuer=DIGEST)
    log.record(other, IssuerRevoked(ISSUER))
    assert list(log.state.certificates) == [other.digest]
    assert log.state.subsystems[CIVIL].certificates == (other.digest,)
    assert log.refusal(certificate(CIVIL, "later")) == "issuer-revoked"
    assert log.refusal(IssuerRevoked(ISSUER)) == "no-change"


def test_certificates_that_ended_are_forgotten_at_the_next_one() -> None:
    log = Log(nation())
    log.record(certificate(CIVIL, "civil-2", not_before=NOW + 16 * HOUR), at_ms=NOW + 16 * HOUR)
    assert len(log.state.subsystems[CIVIL].certificates) == 2
    log.record(certificate(CIVIL, "civil-3", not_before=NOW + 32 * HOUR), at_ms=NOW + 32 * HOUR)
    assert log.state.subsystems[CIVIL].certificates == tuple(
        certificate(CIVIL, name).digest for name in ("civil-2", "civil-3")
    )
    assert set(log.state.certificates) >= set(log.state.subsystems[CIVIL].certificates)
    assert certificate(CIVIL, "civil-1").digest not in log.state.certificates


def test_service_may_be_withdrawn_once_nobody_has_a_grant_for_it() -> None:
    log = Log(nation())
    log.record(GrantRevoked("grant-1"), ServiceWithdrawn(POPULATION, SERVICE))
    assert log.state.subsystems[POPULATION].services == ()
    assert log.refusal(grant("grant-2")) == "not-offered"


def test_revision_may_add_a_method() -> None:
    log = Log(nation())
    methods = (*service().methods, Method(f"/{SERVICE}/Count"))
    log.record(ServiceRevised(SERVICE, DIGEST, methods))
    assert log.state.services[SERVICE].methods == methods
    assert f"/{SERVICE}/Count" in log.state.methods


def test_clock_far_behind_the_log_is_refused_and_a_little_behind_is_the_last_moment() -> None:
    log = Log(nation())
    assert log.refusal(SubsystemSuspended(CIVIL), at_ms=NOW - 30_001) == "clock-behind"
    log.record(SubsystemSuspended(CIVIL), at_ms=NOW - 30_000)
    assert log.state.time_ms == NOW
    assert log.events[-1].operator == ACT.operator
    assert log.events[-1].reason == ACT.reason
