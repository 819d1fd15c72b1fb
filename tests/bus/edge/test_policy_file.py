"""The readable policy: what is read, and that everything doubtful is refused at its line (bus.edge.policy_file)."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.edge.endpoint import Endpoint
from bus.edge.policy_file import YamlFileError, parse_policy
from bus.edge.policy_model import PolicyDocument
from native._policy_cut_py import read_tables
from native.policy import MethodKind, PolicyCutter, PolicyTables, build_tables
from pki.authority import Authority
from pki.credentials import issue_credentials
from pki.identity import SubsystemId
from tests.support.nation import TRUST_DOMAIN, echo_contract

NAMES = ("ndc/broker-1", "mps/population", "moj/civil-status", "mps/agent")
POLICY = """\
version: 1
trust_domain: bus.test.example
alarm_after: 6h
refuse_after: 24h
subsystems:
  - id: gov/ndc/broker-1
    broker: true
    endpoints: ["127.0.0.1:7443"]
    certificates: [broker-1/tls/chain.pem]
    keys:
      - {spki: broker-1/signing-public.pem, not_before: 2026-11-21T00:00:00Z, not_after: 2027-11-21T00:00:00Z}
  - id: gov/mps/population
    endpoints: ["127.0.0.1:7555", "population.example:7555"]
    certificates: [population/tls/chain.pem]
    keys:
      - {spki: population/signing-public.pem, not_before: 2026-11-21T00:00:00Z, not_after: 2027-11-21T00:00:00Z}
  - id: gov/moj/civil-status
    active: false
    certificates: [civil-status/tls/chain.pem]
    keys:
      - {spki: civil-status/signing-public.pem, not_before: 2026-11-21T00:00:00Z, not_after: 2027-11-21T00:00:00Z}
  - id: gov/mps/agent
    certificates:
      - {sha256: SHA, not_after: 2026-11-22T00:00:00Z}
descriptors: [contracts.binpb]
methods:
  - {path: /test.v1.Other/Get, kind: unary, max_lifetime: 30s, idempotent: true}
grants:
  - id: grant-1
    client: gov/moj/civil-status
    provider: gov/mps/population
    methods: [/test.v1.EchoService/*, /test.v1.Other/Get]
    purposes: [civil.birth, civil.death]
    not_before: 2026-11-21T00:00:00Z
    not_after: 2027-11-21T00:00:00.5Z
    quota: {calls_per_second: 5, burst: 10}
agents:
  - {agent: gov/mps/agent, for: [gov/mps/population]}
""".replace("SHA", "ab" * 32)

Parse = Callable[[str], PolicyDocument]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    now = datetime.now(UTC)
    authority = Authority.open(folder / "state", TRUST_DOMAIN, now=now)
    for name in NAMES:
        member, subsystem = name.split("/")
        issue_credentials(authority, SubsystemId(TRUST_DOMAIN, "gov", member, subsystem), folder / subsystem, now=now)
    (folder / "contracts.binpb").write_bytes(echo_contract())
    (folder / "nonsense").write_bytes(b"\xff\xff")
    return folder


@pytest.fixture
def parse(folder: Path) -> Parse:
    return lambda text: parse_policy(text.encode(), name="policy.yaml", read=lambda name: (folder / name).read_bytes())


def test_a_whole_policy_is_read(parse: Parse) -> None:
    document = parse(POLICY)
    tables = document.tables
    broker, population, civil, agent = tables.subsystems
    assert (document.alarm_after_ms, document.refuse_after_ms) == (6 * 3_600_000, 24 * 3_600_000)
    assert broker.is_broker
    assert broker.cluster == ""
    assert population.cluster == "population.mps.gov.bus.test.example"
    assert population.member == "spiffe://bus.test.example/gov/mps/"
    assert not civil.active
    assert (agent.id, tables.certificates[-1].digest) == ("spiffe://bus.test.example/gov/mps/agent", b"\xab" * 32)
    assert document.endpoints[population.id] == (Endpoint("127.0.0.1", 7555), Endpoint("population.example", 7555))
    kinds = {method.path: (method.kind, method.max_lifetime_ms, method.idempotent) for method in tables.methods}
    assert kinds == {
        "/test.v1.EchoService/Say": (MethodKind.UNARY, 60_000, False),
        "/test.v1.EchoService/Watch": (MethodKind.SERVER_STREAM, 60_000, False),
        "/test.v1.EchoService/Push": (MethodKind.CLIENT_STREAM, 60_000, False),
        "/test.v1.Other/Get": (MethodKind.UNARY, 30_000, True),
    }
    (grant,) = tables.grants
    assert set(grant.methods) == set(kinds)
    assert (grant.calls_per_second, grant.burst, grant.calls_per_day) == (5, 10, 0)
    assert grant.not_after_ms - grant.not_before_ms == 365 * 86_400_000 + 500
    assert next((key.subsystem, len(key.point)) for key in tables.keys) == (broker.id, 65)


def part(tables: PolicyTables, reader: str) -> PolicyTables:
    """What this subsystem gets of them."""
    return read_tables(PolicyCutter(build_tables(tables)).cut(reader, bytes(16)))


def test_a_scope_holds_what_its_subsystem_needs_and_no_more(parse: Parse) -> None:
    tables = parse(POLICY).tables
    civil = part(tables, "spiffe://bus.test.example/gov/moj/civil-status")
    assert [one.id.rsplit("/", 1)[1] for one in civil.subsystems] == ["broker-1", "population", "civil-status"]
    assert [one.subsystem.rsplit("/", 1)[1] for one in civil.certificates] == ["broker-1", "civil-status"]
    population = part(tables, "spiffe://bus.test.example/gov/mps/population")
    assert [one.subsystem.rsplit("/", 1)[1] for one in population.certificates] == ["broker-1", "population", "agent"]
    assert len(population.keys) == 3
    assert population.grants == tables.grants
    agent = part(tables, "spiffe://bus.test.example/gov/mps/agent")
    assert agent.grants == ()
    assert agent.methods == ()


WRONG = [
    ("version: 1", "version: 2", 1),
    ("trust_domain: bus.test.example", "trust_domain: Bus", 2),
    ("alarm_after: 6h", "alarm_after: 25h", 1),
    ("alarm_after: 6h", "alarm_after: six", 3),
    ("    broker: true", "    broker: yes", 7),
    ("    broker: true", "    brokr: true", 7),
    ("    broker: true", "    broker: true\n    broker: true", 8),
    ('["127.0.0.1:7443"]', '["127.0.0.1"]', 8),
    ("[broker-1/tls/chain.pem]", "[population/tls/chain.pem]", 9),
    ("[broker-1/tls/chain.pem]", "[missing.pem]", 9),
    ("[broker-1/tls/chain.pem]", "[nonsense]", 9),
    ("{spki: population/signing-public.pem", "{spki: broker-1/signing-public.pem", 16),
    ("{spki: population/signing-public.pem", "{spki: broker-1/tls/chain.pem", 16),
    ("not_before: 2026-11-21T00:00:00Z, not_after: 2027-11-21T00:00:00Z}", "not_before: 2026-11-21, not_after: 1}", 11),
    ("  - id: gov/mps/agent", "  - id: gov/mps/population", 22),
    ("  - id: gov/mps/agent", "  - id: agent", 22),
    ("sha256: abab", "sha256: ABAB", 24),
    ("[contracts.binpb]", "[nonsense]", 25),
    ("/test.v1.Other/Get, kind: unary", "/test.v1.EchoService/Say, kind: unary", 27),
    ("/test.v1.Other/Get, kind: unary", "/test.v1.Other/Get, kind: bidi", 27),
    ("max_lifetime: 30s", "max_lifetime: 6m", 27),
    ("id: grant-1", "id: grant 1", 29),
    ("client: gov/moj/civil-status", "client: gov/moj/nobody", 30),
    ("client: gov/moj/civil-status", "client: gov/ndc/broker-1", 29),
    ("[/test.v1.EchoService/*, /test.v1.Other/Get]", "[/test.v1.Nothing/*]", 32),
    ("[/test.v1.EchoService/*, /test.v1.Other/Get]", "[]", 32),
    ("[civil.birth, civil.death]", "[civil.birth, civil.birth]", 33),
    ("[civil.birth, civil.death]", "[Civil Birth]", 33),
    ("not_after: 2027-11-21T00:00:00.5Z", "not_after: 2025-11-21T00:00:00Z", 35),
    ("burst: 10", "burst: 4294967296", 36),
    ("for: [gov/mps/population]", "for: [gov/moj/civil-status]", 38),
]


def test_rate_of_a_subsystem_is_read_and_divided_among_its_brokers(parse: Parse) -> None:
    limited = POLICY.replace("    active: false\n", "    quota: {calls_per_second: 7, burst: 9}\n")
    second = limited.replace("sha256: abab", "sha256: cdab").replace(
        "gov/mps/agent", "gov/ndc/broker-2\n    broker: true", 1
    )
    for text, expected in ((limited, (7, 9, 5, 10)), (second.split("agents:")[0], (4, 5, 3, 5))):
        tables = parse(text).tables
        (civil,) = [one for one in tables.subsystems if one.id.endswith("civil-status")]
        (grant,) = tables.grants
        assert (civil.calls_per_second, civil.burst, grant.calls_per_second, grant.burst) == expected


def test_rate_of_a_broker_is_refused(parse: Parse) -> None:
    with pytest.raises(YamlFileError) as caught:
        parse(POLICY.replace("    broker: true\n", "    broker: true\n    quota: {calls_per_second: 7}\n"))
    assert caught.value.line == 8


@pytest.mark.parametrize(("right", "wrong", "line"), WRONG)
def test_what_is_wrong_is_refused_at_its_line(parse: Parse, right: str, wrong: str, line: int) -> None:
    assert right in POLICY
    with pytest.raises(YamlFileError) as caught:
        parse(POLICY.replace(right, wrong, 1))
    assert caught.value.line == line
    assert str(caught.value).startswith(f"policy.yaml:{line}: ")


def test_a_grant_twice_is_refused(parse: Parse) -> None:
    grants = POLICY[POLICY.index("  - id: grant-1") : POLICY.index("agents:")]
    with pytest.raises(YamlFileError, match="second time"):
        parse(POLICY.replace(grants, grants + grants))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[",
        "a: &x [1]\nb: *x\n",
        "version: !!int 1\n",
        "version: 1\n---\nversion: 1\n",
        "[" * 200,
        "a: \x07\n",
        "<<: {version: 1}\n",
    ],
)
def test_yaml_that_is_more_than_plain_is_refused(parse: Parse, text: str) -> None:
    with pytest.raises(YamlFileError):
        parse(text)
