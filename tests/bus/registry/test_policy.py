"""What gates get out of the registry's state: exactly what is in force, in a form that they accept."""

from dataclasses import replace
from pathlib import Path

import pytest

from bus.edge.policy_file import parse_policy
from bus.edge.snapshot_files import compile_snapshots
from bus.registry.fold import EMPTY
from bus.registry.grants import GrantRevoked, Quota, QuotaSet
from bus.registry.keys import CertificateRevoked, SigningKeyRevoked
from bus.registry.members import MemberResumed, MemberSuspended
from bus.registry.policy import policy_document
from bus.registry.refusal import Refusal
from bus.registry.subsystems import AgentAppointed, SubsystemAdded, SubsystemRevoked, SubsystemSuspended
from native.policy import Policy, build_tables
from native.snapshot import BROKER_SCOPE, verify_snapshot
from pki.keys import encode_public_pem
from pki.signer import FileSigner
from tests.bus.registry.support import (
    BROKER,
    CIVIL,
    DAY,
    HOUR,
    NOW,
    POPULATION,
    Log,
    certificate,
    key_id,
    nation,
    point,
    signing_key,
)

ID = "spiffe://bus.gov.example/"


def opened(log: Log, now: int = NOW + 1) -> Policy:
    return Policy(build_tables(policy_document(log.state, now).tables))


def test_state_compiles_into_tables_that_a_gate_opens() -> None:
    policy = opened(Log(nation()))
    client, provider = (policy.find_subsystem(f"{ID}{path}") or 0 for path in (CIVIL, POPULATION))
    grant = policy.find_grant("grant-1")
    assert grant is not None
    assert policy.grant(grant).client == f"{ID}{CIVIL}"
    assert policy.grant(grant).operator_made
    assert policy.subsystem(provider).cluster == "population.mps.gov.bus.gov.example"
    assert policy.subsystem(client).cluster == ""
    found = policy.key(key_id("civil"))
    assert found is not None
    assert found.point == point("civil")


def test_policy_is_the_one_that_the_readable_file_would_say() -> None:
    text = f"""
version: 1
trust_domain: bus.gov.example
subsystems:
  - {{id: {BROKER}, broker: true, endpoints: ["127.0.0.1:7443"]}}
  - id: {POPULATION}
    endpoints: ["127.0.0.1:7501", "[::1]:7502"]
    certificates: [{{sha256: {certificate(POPULATION, "population-1").digest.hex()}, not_after: 2026-11-19T11:06:40Z}}]
    keys: [{{spki: population, not_before: 2026-11-18T11:06:40Z, not_after: 2026-11-19T11:06:40Z}}]
  - id: {CIVIL}
    certificates: [{{sha256: {certificate(CIVIL, "civil-1").digest.hex()}, not_after: 2026-11-19T11:06:40Z}}]
    keys: [{{spki: civil, not_before: 2026-11-18T11:06:40Z, not_after: 2026-11-19T11:06:40Z}}]
methods:
  - {{path: /vn.population.v1.PopulationService/GetPerson, kind: unary, max_lifetime: 30s, idempotent: true}}
  - {{path: /vn.population.v1.PopulationService/ListPersons, kind: server_stream, max_lifetime: 60s}}
grants:
  - id: grant-1
    client: {CIVIL}
    provider: {POPULATION}
    methods: [/vn.population.v1.PopulationService/GetPerson]
    purposes: [civil.birth]
    not_before: 2026-11-18T11:06:40Z
    not_after: 2027-11-18T11:06:40Z
    operator_made: true
"""
    read = parse_policy(text.encode(), name="policy.yaml", read=lambda name: encode_public_pem(point(name)))
    assert policy_document(Log(nation()).state, NOW) == read


def test_suspension_is_said_and_resuming_takes_it_back() -> None:
    log = Log(nation())

    def active() -> dict[str, bool]:
        tables = policy_document(log.state, NOW + 1).tables
        return {one.id.removeprefix(ID): one.active for one in tables.subsystems}

    assert all(active().values())
    log.record(MemberSuspended("gov/mps"))
    assert active() == {BROKER: True, POPULATION: False, CIVIL: True}
    log.record(SubsystemSuspended(CIVIL), MemberResumed("gov/mps"))
    assert active() == {BROKER: True, POPULATION: True, CIVIL: False}
    opened(log)


def test_what_is_over_or_revoked_is_left_out() -> None:
    log = Log(nation())
    log.record(CertificateRevoked(certificate(CIVIL, "civil-1").digest), GrantRevoked("grant-1"))
    tables = policy_document(log.state, NOW + 1).tables
    assert [one.digest for one in tables.certificates] == [certificate(POPULATION, "population-1").digest]
    assert tables.grants == ()
    later = policy_document(Log(nation()).state, NOW + 366 * DAY).tables
    assert (later.certificates, later.grants, later.keys) == ((), (), ())


def test_revoked_key_ends_a_moment_before_its_revocation_and_is_remembered_for_a_day() -> None:
    log = Log(nation())
    log.record(SigningKeyRevoked(key_id("civil")), at_ms=NOW + HOUR)
    (key,) = (one for one in policy_document(log.state, NOW + HOUR).tables.keys if one.key_id == key_id("civil"))
    assert key.not_after_ms == NOW + HOUR - 1
    remaining = {one.key_id for one in policy_document(log.state, NOW + HOUR + DAY).tables.keys}
    assert key_id("civil") not in remaining


def test_key_revoked_before_it_ever_started_is_not_in_force() -> None:
    log = Log(nation())
    log.record(signing_key(CIVIL, "never", not_before=NOW + 2 * HOUR), at_ms=NOW + 1)
    log.record(SigningKeyRevoked(key_id("never")), at_ms=NOW + HOUR)
    assert key_id("never") not in {one.key_id for one in policy_document(log.state, NOW + HOUR).tables.keys}
    opened(log, NOW + HOUR)


def test_revoked_subsystem_leaves_tables_that_still_open() -> None:
    log = Log(nation())
    log.record(SubsystemAdded("gov/moj/agent"), AgentAppointed("gov/moj/agent", CIVIL), SubsystemRevoked(POPULATION))
    tables = policy_document(log.state, NOW + 1).tables
    assert tables.grants == ()
    assert len(tables.agents) == 1
    assert not next(one for one in tables.subsystems if one.id == ID + POPULATION).active
    opened(log)


def test_quota_of_a_grant_reaches_the_gate() -> None:
    log = Log(nation())
    log.record(QuotaSet("grant-1", Quota(10, 20, 1000, 10**9)))
    (grant,) = policy_document(log.state, NOW + 1).tables.grants
    assert replace(grant, calls_per_second=0) != grant
    assert (grant.calls_per_second, grant.burst, grant.calls_per_day, grant.bytes_per_day) == (10, 20, 1000, 10**9)


def test_snapshot_is_bound_to_the_log_position(tmp_path: Path) -> None:
    state = Log(nation()).state
    signer = FileSigner.create(tmp_path / "key.pem")
    compiled = compile_snapshots(
        policy_document(state, NOW), signer, version=1, log_position=state.position, now_ms=NOW
    )
    data = compiled.snapshots[BROKER_SCOPE]
    verified = verify_snapshot(data, signer.public_point, "bus.gov.example", BROKER_SCOPE, NOW)
    assert verified.header.log_position == len(nation())
    assert set(compiled.snapshots) == {BROKER_SCOPE, ID + POPULATION, ID + CIVIL}


def test_empty_registry_has_no_policy() -> None:
    with pytest.raises(Refusal, match="found the instance"):
        policy_document(EMPTY, NOW)
