"""`govbus explain`: a call's life as the journal has it, told for its request id."""

import json
import os
import shlex
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bus.cli.explain_registry import known_of
from bus.cli.main import app
from bus.edge.endpoint import Endpoint
from bus.exchange.compose import request_id
from bus.exchange.reasons import Reason
from bus.registry.state import GrantEntry, MemberEntry, RegistryState, SubsystemEntry
from native.policy_types import Grant, Method
from pki.identity import parse_spiffe_id
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_nation import CALLER, PROVIDER, PURPOSE, SAY, extra_key
from tests.support.nation import echo_contract
from tests.support.raw_client_forge import Request
from tests.support.raw_provider_answers import answering, hang, honest


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("explain") / "a state") as found:
        yield found


@pytest.fixture(autouse=True)
def _honest(world: World) -> Iterator[None]:
    yield
    world.provider.behaviour = honest


def asked(world: World, named: str, *more: str, status: int = 0) -> str:
    given = ["explain", named, "--journal", str(world.broker.config.journal), *more]
    done = CliRunner().invoke(app, given, env={"COLUMNS": "200"})
    assert done.exit_code == status, (done.stdout, done.stderr)
    return done.stdout


def document(world: World, named: str, *, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(asked(world, named, "--json", status=status))
    return found


def life(world: World, named: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document(world, named)["life"]
    return found


def text(world: World, named: str, *, status: int = 0) -> list[str]:
    """What a person reads, all of it within 100 columns and in one piece; a command to be copied is one line."""
    lines = asked(world, named, status=status).splitlines()
    assert all(len(line) <= 100 or line.startswith("      govbus ") for line in lines), lines
    assert lines[0].startswith(f"{named}: ")
    return lines


def test_admitted_call_is_told_from_asking_to_its_end_and_its_replay_too(world: World) -> None:
    request = world.request()
    named = request.id.hex()
    world.answers(request)
    world.refuses(request, Reason.REPLAYED)
    told = eventually(lambda: len(life(world, named)) == 5 and life(world, named))
    assert isinstance(told, list)
    assert [one["who"] for one in told] == [
        CALLER,
        "gov/ndc/broker-1",
        PROVIDER,
        "gov/ndc/broker-1",
        "gov/ndc/broker-1",
    ]
    asking, admitted, answered, ended, refused = (one["what"] for one in told)
    assert asking.startswith(f"asked {PROVIDER} for ")
    assert f"for {PURPOSE}" in asking
    assert "admitted it as record" in admitted
    assert answered == "answered OK"
    assert ended.endswith(": DONE")
    assert refused == "refused it: REPLAYED"
    found = document(world, named)["ended"]
    assert found["as"] == "SERVED"  # the copy changes nothing of it
    export = f"govbus evidence export {named} --journal {shlex.quote(str(world.broker.config.journal))}"
    assert f"proof of it: {export}" in found["next"]
    lines = text(world, named)
    assert lines[0].endswith(": SERVED")
    assert lines[1].startswith(f"  {PROVIDER} answered; {CALLER} was sent it with a receipt, ")
    assert "next" in lines
    assert f"      {export}" in lines
    assert any("the ledger was not asked" in line for line in lines)


def test_refusal_bears_the_time_of_its_decision_and_the_policy_that_judged(world: World) -> None:
    version = world.publish()
    request = world.request(purpose="tax.audit")
    before_ms = time.time_ns() // 1_000_000
    world.send(request)
    after_ms = time.time_ns() // 1_000_000
    asking, refused = life(world, request.id.hex())
    assert asking["what"].startswith(f"asked {PROVIDER} ")
    assert refused["what"] == "refused it: NO_GRANT"
    assert before_ms <= refused["time_ms"] <= after_ms  # its record is written later
    assert f"by policy version {version}" in refused["details"]
    ended = document(world, request.id.hex())["ended"]
    assert ended["as"] == "REFUSED"
    assert ended["text"] == "gov/ndc/broker-1 refused it, NO_GRANT; the provider never saw it"
    assert ended["next"][0].startswith(f"{CALLER}: Ask the provider for a grant")
    assert text(world, request.id.hex())[0].endswith(": REFUSED")


def test_call_whose_time_was_over_is_told_so_whoever_gave_up_first(world: World) -> None:
    world.provider.behaviour = hang
    by_broker = world.request()
    world.connection().call(by_broker.headers(timeout="300m"), by_broker.body)
    found = document(world, by_broker.id.hex())["ended"]
    assert found["as"] == "TIMED OUT"
    assert found["text"].startswith("DEADLINE, ")
    assert found["text"].endswith(f"{PROVIDER} may have acted")
    assert found["next"][0].startswith("Allow more time; retry with the same idempotency key")

    for lifetime_ms, word in ((1_000, "TIMED OUT"), (20_000, "LEFT")):
        request = world.request(lifetime_ms=lifetime_ms)
        gone_at(world, request, request.header.not_after_ms if word == "TIMED OUT" else 0)
        ended = document(world, request.id.hex())["ended"]
        assert ended["as"] == word, ended
        assert "may have acted" in ended["text"]
        assert any("idempotency key" in one for one in ended["next"])
        text(world, request.id.hex())


def gone_at(world: World, request: Request, moment_ms: int) -> None:
    """A client that leaves while the provider works, and not before that time."""
    connection, touched = world.connect(), world.provider.calls
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    eventually(lambda: world.provider.calls == touched + 1)
    eventually(lambda: time.time_ns() // 1_000_000 >= moment_ms)
    connection.reset(stream)
    world.outcome(request)
    connection.close()


def test_providers_own_error_is_told_apart_from_the_bus(world: World) -> None:
    world.provider.behaviour = answering(lambda draft: draft.but(body=b"", status=5, message="none"))
    request = world.request()
    world.send(request)
    found = document(world, request.id.hex())["ended"]
    assert found["as"] == "ERROR"
    assert found["text"].startswith(f"{PROVIDER} answered NOT_FOUND, signed: its own error, none of the bus")


def test_admitted_call_without_an_end_is_open(world: World) -> None:
    world.provider.behaviour = hang
    request, connection = world.request(), world.connect()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    world.intent(request)
    assert document(world, request.id.hex())["ended"]["as"] == "OPEN"
    connection.close()
    world.outcome(request)


def test_id_that_nobody_wrote_down_is_said_to_be_so(world: World) -> None:
    strange = uuid.uuid4().hex
    assert document(world, strange, status=1)["life"] == []
    lines = text(world, strange, status=1)
    assert lines[0].endswith(": NOT FOUND")
    assert "it is no request's id" in lines[1]
    assert any("if it is a trace's" in line for line in lines)
    made_ms = int(datetime(2026, 11, 20, 8, 30, tzinfo=UTC).timestamp() * 1000)
    never = request_id(made_ms, os.urandom(10)).hex()
    lines = text(world, never, status=1)
    assert "its client made it at 2026-11-20T08:30:00Z" in lines[1]
    said = " ".join(" ".join(lines).split())
    assert "refused before its signature was verified" in said
    assert "govbus explain ID --journal DIR" in said
    done = CliRunner().invoke(app, ["explain", "not-an-id", "--journal", str(world.broker.config.journal)])
    assert (done.exit_code, "32 hex digits" in done.stderr) == (2, True)


def test_newest_call_says_which_one_it_is_before_all_else(world: World) -> None:
    request = world.request()
    world.answers(request)
    lines = asked(world, "last").splitlines()
    assert lines[0] == f"{request.id.hex()}: SERVED"
    said = " ".join(" ".join(lines[1:3]).split())
    assert said.startswith(f"the newest call written down: {SAY[1:]}, by {CALLER}, 20")
    assert "newest" not in asked(world, request.id.hex())


def test_jaeger_that_does_not_answer_costs_its_spans_alone(world: World) -> None:
    request = world.request()
    world.answers(request)
    given = ["explain", request.id.hex(), "--journal", str(world.broker.config.journal), "--jaeger"]
    for url, why in (("http://127.0.0.1:1", "did not answer"), ("localhost:16686", "write http://host:port")):
        done = CliRunner().invoke(app, [*given, url])
        assert (done.exit_code, why in done.stderr) == (0, True), done.stderr
        assert "SERVED" in done.stdout


def test_call_by_a_key_that_has_not_begun_is_told_when_it_does(world: World, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(world.instance.config(CALLER).parent, home)
    extra_key(world.instance, "coming")
    shutil.copy(world.instance.state / "extra-coming-key.pem", home / "signing-key.pem")
    (tmp_path / "echo.binpb").write_bytes(echo_contract())
    said = ["call", SAY[1:], "--home", str(home), "--purpose", PURPOSE, "--provider", PROVIDER, "--grant", "grant-1"]
    made = CliRunner().invoke(app, [*said, "--descriptor-set", str(tmp_path / "echo.binpb")])
    assert made.exit_code == 3, made.stderr
    assert "KEY_NOT_VALID" in made.stderr
    assert "Wait until it starts" in made.stderr
    assert "This home's key starts at 20" in made.stderr
    told = CliRunner().invoke(app, [*said, "--descriptor-set", str(tmp_path / "echo.binpb"), "--json"])
    error = json.loads(told.stdout)["error"]
    assert (error["reason"], error["key_starts"][:2]) == ("KEY_NOT_VALID", "20")


NOW_MS = 1_700_000_000_000


def registry_of(world: World) -> RegistryState:
    """In which nothing speaks against world.request()."""
    asked = world.request().header
    methods = (asked.method,)
    window = (NOW_MS - 1000, NOW_MS + 1000)
    entry = GrantEntry(
        Grant(asked.grant_id, asked.client, asked.provider, methods, (asked.purpose,), *window), CALLER, PROVIDER
    )
    return RegistryState(
        members={f"gov/{code}": MemberEntry("gov", code, "vi", "en") for code in ("moj", "mps")},
        subsystems={
            path: SubsystemEntry(parse_spiffe_id(identity), False, endpoints=(Endpoint("127.0.0.1", 7001),))
            for path, identity in ((CALLER, asked.client), (PROVIDER, asked.provider))
        },
        methods={asked.method: Method(asked.method)},
        grants={asked.grant_id: entry},
    )


def test_each_thing_that_speaks_against_a_call_is_named_to_the_operator(world: World) -> None:
    asked, state = world.request().header, registry_of(world)
    (grant,) = state.grants.values()
    (nothing,) = known_of(state, asked, NOW_MS)
    assert nothing.startswith("nothing spoke against it")

    def told(other: RegistryState, time_ms: int = NOW_MS) -> str:
        (line,) = known_of(other, asked, time_ms)
        return line

    def granting(**other: Any) -> RegistryState:
        return replace(state, grants={asked.grant_id: replace(grant, **other)})

    provider = state.subsystems[PROVIDER]
    for entry, line in (
        (replace(provider, suspended_ms=NOW_MS), "was suspended since"),
        (replace(provider, revoked_ms=NOW_MS), "was revoked at"),
        (replace(provider, endpoints=()), "has said no address"),
    ):
        other = replace(state, subsystems={**state.subsystems, PROVIDER: entry})
        assert f"the provider {PROVIDER} " in told(other)
        assert line in told(other)
    suspended = {**state.members, "gov/mps": replace(state.members["gov/mps"], suspended_ms=NOW_MS)}
    assert "gov/mps, the provider's member, was suspended since" in told(replace(state, members=suspended))
    alone = {CALLER: state.subsystems[CALLER]}
    assert told(replace(state, subsystems=alone)) == f"the provider {PROVIDER} was not registered"
    assert told(replace(state, grants={})) == f"there was no grant {asked.grant_id}"
    assert told(replace(state, methods={})) == f"no contract declared {asked.method[1:]}"
    assert "was revoked at" in told(granting(revoked_ms=NOW_MS))
    assert " ended at " in told(state, NOW_MS + 5000)
    assert " begins at " in told(state, NOW_MS - 5000)
    assert f"does not have the method {asked.method[1:]}" in told(granting(grant=replace(grant.grant, methods=())))
    elsewhere = told(granting(grant=replace(grant.grant, purposes=("tax.audit",))))
    assert elsewhere.endswith(f"is for the purpose tax.audit, not for {asked.purpose}")
    assert told(granting(client=PROVIDER)).endswith(f"is for the client {PROVIDER}, not for {CALLER}")
    assert told(granting(provider=CALLER)).endswith(f"is for the provider {CALLER}, not for {PROVIDER}")
