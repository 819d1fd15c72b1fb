"""The registry by hand: a change is recorded with who and why, in force when the command ends, and shown again."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from vn.population.v1 import population_pb2

from bus.cli.registry_open import open_registry
from bus.edge.nation import contract_image
from bus.registry.fold import Act
from bus.registry.keys import SigningKeyAdded
from bus.up.broker import make_fresh
from bus.up.layout import Layout
from native.policy import Policy
from native.snapshot import BROKER_SCOPE, verify_snapshot
from pki.authority import Authority
from pki.identity import SubsystemId
from pki.keys import generate_private_key
from pki.signer import FileSigner, KeySigner
from tests.bus.cli.conftest import Commands

SERVICE = "vn.population.v1.PopulationService"
WHY = ("--operator", "ops:lan", "--reason", "agreement 17")


@pytest.fixture(scope="module")
def nation(instance: Commands, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """A client and a provider with a grant, each command in force before the next."""
    image = tmp_path_factory.mktemp("contracts") / "contracts.binpb"
    image.write_bytes(contract_image([population_pb2.DESCRIPTOR]))
    names = ("--name-vi", "Bộ Công an", "--name-en", "Ministry of Public Security")
    versions = [
        instance.json(*words, *WHY)["in_force"]["version"]
        for words in (
            ("member", "add", "gov/mps", *names),
            ("subsystem", "add", "gov/mps/population", "--endpoint", "127.0.0.1:7001"),
            ("subsystem", "add", "gov/mps/portal"),
            ("service", "add", image),
            ("service", "offer", "gov/mps/population", SERVICE),
            grant_words("grant-1"),
        )
    ]
    assert versions == sorted(set(versions))
    return instance


def grant_words(name: str) -> tuple[str, ...]:
    ends = ("--client", "gov/mps/portal", "--provider", "gov/mps/population")
    return ("grant", "add", name, *ends, "--method", f"/{SERVICE}/*", "--purpose", "civil.birth")


def policy(commands: Commands) -> Policy:
    """What the broker judges by, verified as it would."""
    layout = Layout(commands.state)
    facts = layout.expect()
    data = (layout.broker_home(facts.broker) / "snapshot.bin").read_bytes()
    point = FileSigner.load(layout.policy_signing_key).public_point
    return verify_snapshot(data, point, facts.trust_domain, BROKER_SCOPE, time.time_ns() // 1_000_000).policy


def is_active(commands: Commands, path: str) -> bool:
    found = policy(commands)
    index = found.find_subsystem(f"spiffe://bus.test.example/{path}")
    assert index is not None
    return found.subsystem(index).active


def test_change_tells_who_and_why_for_ever(nation: Commands) -> None:
    events = nation.json("history")
    assert [one["position"] for one in events] == list(range(1, len(events) + 1))
    assert {one["operator"] for one in events} >= {"ops:lan", "govbus:supervisor"}
    (made,) = [one for one in events if one["kind"] == "grant.made" and one["change"]["grant_id"] == "grant-1"]
    assert (made["operator"], made["reason"]) == ("ops:lan", "agreement 17")
    assert nation.json("history", "--after", made["position"] - 1)[0] == made
    assert "agreement 17" in nation.run("history").stdout


def test_everything_is_listed_and_shown(nation: Commands) -> None:
    for words, name in (
        (("member",), "gov/mps"),
        (("subsystem",), "gov/mps/population"),
        (("service",), SERVICE),
        (("grant",), "grant-1"),
    ):
        assert name in [one["name"] for one in nation.json(*words, "list")]
        assert nation.json(*words, "show", name)["name"] == name
        assert name in nation.run(*words, "list").stdout
        assert name in nation.run(*words, "show", name).stdout
    assert nation.json("member", "show", "gov/mps")["name_vi"] == "Bộ Công an"
    grant = nation.json("grant", "show", "grant-1")
    assert len(grant["methods"]) == 3
    assert (grant["client"], grant["revoked"]) == ("gov/mps/portal", None)
    broker = nation.json("key", "list", "--subsystem", "gov/ndc/broker-1")
    assert len(broker) == len(nation.json("cert", "list", "--subsystem", "gov/ndc/broker-1")) == 1
    assert nation.json("key", "show", broker[0]["name"][:8]) == broker[0]


def test_no_limit_is_said_and_a_row_is_a_line_where_nobody_looks(nation: Commands) -> None:
    assert field(nation, "calls_per_second", "subsystem", "show", "gov/mps/portal") == ["no", "limit"]
    assert field(nation, "calls_per_day", "grant", "show", "grant-1") == ["no", "limit"]
    assert nation.json("subsystem", "show", "gov/mps/portal")["calls_per_second"] == 0
    methods = nation.json("grant", "show", "grant-1")["methods"]
    assert sum(map(len, methods)) > 100
    assert field(nation, "methods", "grant", "show", "grant-1") == methods


def field(nation: Commands, name: str, *words: str) -> list[str]:
    """What the line of this name says, in a pipe."""
    (line,) = [one for one in nation.run(*words).stdout.splitlines() if one.split()[:1] == [name]]
    return line.split()[1:]


def test_state_is_shown_as_it_was(nation: Commands) -> None:
    assert [one["name"] for one in nation.json("member", "list", "--at", 6)] == ["gov/ndc"]
    assert "ends at position" in nation.refused("member", "list", "--at", 100_000)


def test_suspended_is_in_force_when_the_command_ends(nation: Commands) -> None:
    for what, name in (("subsystem", "gov/mps/portal"), ("member", "gov/mps")):
        nation.json(what, "suspend", name, *WHY)
        assert not is_active(nation, "gov/mps/portal")
        assert "already" in nation.refused(what, "suspend", name, *WHY)
        said = nation.run(what, "resume", name, *WHY).stdout
        assert "in force with policy version" in said
        assert is_active(nation, "gov/mps/portal")


def test_contract_that_breaks_the_registered_one_is_refused_whole(nation: Commands, tmp_path: Path) -> None:
    before = nation.json("history")[-1]["position"]
    image = FileDescriptorSet.FromString(contract_image([population_pb2.DESCRIPTOR]))
    (file,) = [one for one in image.file if one.name == "vn/population/v1/population.proto"]
    del file.service[0].method[0]
    broken = tmp_path / "broken.binpb"
    broken.write_bytes(image.SerializeToString())
    said = nation.run("service", "add", broken, *WHY, status=2)
    assert (said.stdout, "population.proto: RPC_NO_DELETE: " in said.stderr) == ("", True)
    assert nation.run("contract", "check", broken, status=1).stdout.count("RPC_NO_DELETE") == 1
    assert nation.json("history")[-1]["position"] == before


@pytest.mark.parametrize(("what", "name"), [("subsystem", "gov/mps/population"), ("member", "gov/mps")])
def test_operator_sees_why_callers_of_a_suspended_provider_are_told_of_no_grant(
    nation: Commands, what: str, name: str
) -> None:
    nation.json(what, "suspend", name, *WHY)
    (listed,) = [one for one in nation.json("subsystem", "list") if one["name"] == "gov/mps/population"]
    assert listed["suspended" if what == "subsystem" else "member_suspended"] is not None
    assert "suspended 20" in nation.run("subsystem", "list").stdout
    assert "suspended" in nation.run("subsystem", "show", "gov/mps/population").stdout
    assert "gov/mps/population (suspended)" in nation.run("grant", "list").stdout
    assert nation.json("grant", "show", "grant-1")["provider_suspended"] is not None
    nation.json(what, "resume", name, *WHY)
    assert "(suspended)" not in nation.run("grant", "list").stdout
    assert nation.json("grant", "show", "grant-1")["provider_suspended"] is None


def test_grant_gets_a_quota_and_ends(nation: Commands) -> None:
    nation.json(*grant_words("grant-2"), *WHY)
    before = policy(nation).counts()
    nation.json("grant", "quota", "grant-2", "--calls-per-day", 1000, *WHY)
    assert nation.json("grant", "show", "grant-2")["calls_per_day"] == 1000
    nation.json("grant", "revoke", "grant-2", *WHY)
    assert nation.json("grant", "show", "grant-2")["revoked"] is not None
    assert sum(policy(nation).counts()) == sum(before) - 1
    assert "choose another id" in nation.refused(*grant_words("grant-2"), *WHY)
    assert "revoke it first" in nation.refused("service", "withdraw", "gov/mps/population", SERVICE, *WHY)


def test_subsystem_gets_a_limit_that_the_gate_has_when_the_command_ends(nation: Commands) -> None:
    def in_gate() -> tuple[int, int]:
        found = policy(nation)
        index = found.find_subsystem("spiffe://bus.test.example/gov/mps/portal")
        assert index is not None
        return found.subsystem(index).calls_per_second, found.subsystem(index).burst

    before = nation.json("history")[-1]["position"]
    nation.json("subsystem", "limit", "gov/mps/portal", "--calls-per-second", 200, "--burst", 300, *WHY)
    assert in_gate() == (200, 300)
    assert nation.json("subsystem", "show", "gov/mps/portal")["calls_per_second"] == 200
    assert nation.json("subsystem", "show", "gov/mps/portal", "--at", before)["calls_per_second"] == 0
    (event,) = nation.json("history", "--after", before)
    assert (event["kind"], event["operator"]) == ("subsystem.rate-set", "ops:lan")
    assert "limit them" in nation.refused("subsystem", "limit", "gov/ndc/broker-1", "--calls-per-second", 1, *WHY)
    nation.json("subsystem", "limit", "gov/mps/portal", *WHY)
    assert in_gate() == (0, 0)


def test_key_and_certificate_are_revoked_by_their_first_digits(nation: Commands) -> None:
    layout = Layout(nation.state)
    portal = SubsystemId("bus.test.example", "gov", "mps", "portal")
    authority = Authority.open(layout.state, "bus.test.example", now=datetime.now(UTC))
    signer, now = KeySigner(generate_private_key()), time.time_ns() // 1_000_000
    fresh = make_fresh(authority, portal, now=datetime.now(UTC))
    key = SigningKeyAdded(portal.path, signer.key_id, signer.public_point, now + 20_000, now + 3_600_000)
    with open_registry(layout) as registry:
        registry.record([fresh.change, key], Act("ops:test", "enrolled"))
    for what, digest in (("cert", fresh.change.digest), ("key", signer.key_id)):
        nation.json(what, "revoke", digest.hex()[:12], *WHY)
    assert nation.json("cert", "list", "--subsystem", portal.path) == []
    assert nation.json("key", "show", signer.key_id.hex())["revoked"] is not None


def test_subsystem_listens_elsewhere_has_an_agent_and_ends(nation: Commands) -> None:
    nation.json("subsystem", "add", "gov/mps/gateway", *WHY)
    nation.json("subsystem", "endpoints", "gov/mps/gateway", "127.0.0.1:7009", *WHY)
    nation.json("subsystem", "appoint", "gov/mps/gateway", "gov/mps/portal", *WHY)
    nation.json("subsystem", "dismiss", "gov/mps/gateway", "gov/mps/portal", *WHY)
    nation.json("subsystem", "revoke", "gov/mps/gateway", *WHY)
    shown = nation.json("subsystem", "show", "gov/mps/gateway")
    assert shown["endpoints"] == []
    assert shown["revoked"] is not None


def test_a_purpose_that_looks_like_a_slip_is_asked_back(nation: Commands) -> None:
    words = [word.replace("civil.birth", "civl.birth") for word in grant_words("grant-slip")]
    assert "did you mean civil.birth?" in nation.run(*words, *WHY).stderr
    nation.json("grant", "revoke", "grant-slip", *WHY)
    for slip, meant in (
        (("grant", "revoke", "grant-slop"), "grant-slip"),
        (("member", "suspend", "gov/mpss"), "gov/mps"),
        (("service", "offer", "gov/mps/portal", "PopulationService"), SERVICE),
    ):
        assert f"did you mean {meant}?" in nation.refused(*slip, *WHY)
    assert "did you mean gov/mps/portal?" in nation.refused("grant", "list", "--client", "gov/mps/portl")
    assert "did you mean gov/mps/portal?" in nation.refused("token", "issue", "gov/mps/portl", *WHY)


def test_what_cannot_be_done_is_one_line_that_says_what_to_do(nation: Commands, tmp_path: Path) -> None:
    """And nothing of it is recorded."""
    position: Any = nation.part("registry")["facts"]["position"]
    names = ("--name-vi", "a", "--name-en", "b")
    for words, hint in (
        (("member", "add", "mps", *names), "<class>/<code>"),
        (("member", "add", "gov/mps", *names), "already"),
        (("member", "suspend", "gov/nobody"), "gov/nobody"),
        (("subsystem", "add", "gov/mps/x", "--endpoint", "here"), "host:port"),
        (("service", "add", tmp_path / "none"), "none"),
        (("grant", "revoke", "none"), "no grant"),
        ((*grant_words("grant-3"), "--not-after", "soon"), "2027-01-31"),
        (("key", "revoke", "00"), "govbus key list"),
        (("cert", "revoke", "00" * 32), "govbus cert list"),
        (("cert", "revoke-issuer", "xyz"), "64 hex digits"),
    ):
        assert hint in nation.refused(*words, *WHY), words
    assert "account id" in nation.refused("member", "suspend", "gov/mps", "--operator", "Lan !", "--reason", "x")
    assert "grant list" in nation.refused("grant", "show", "none")
    assert "govbus up" in nation.refused("member", "list", "--state", tmp_path / "nothing")
    assert nation.run("member", "suspend", "gov/mps", status=2).stdout == ""
    assert nation.part("registry")["facts"]["position"] == position
