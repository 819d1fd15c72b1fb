"""`govbus explain`: a call's life as the journal has it, told for its request id."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bus.cli.explain_registry import known_of
from bus.cli.main import app
from bus.exchange.reasons import Reason
from bus.registry.state import GrantEntry, MemberEntry, RegistryState, SubsystemEntry
from native.policy_types import Grant, Method
from pki.identity import parse_spiffe_id
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_nation import CALLER, PROVIDER, PURPOSE, SAY, extra_key
from tests.support.nation import echo_contract


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("explain") / "a state") as found:
        yield found


def asked(world: World, request_id: str, *, status: int = 0) -> str:
    done = CliRunner().invoke(
        app, ["explain", request_id, "--journal", str(world.broker.config.journal), "--json"], env={"COLUMNS": "200"}
    )
    assert done.exit_code == status, (done.stdout, done.stderr)
    return done.stdout


def life(world: World, request_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(asked(world, request_id))["life"]
    return found


def test_admitted_call_is_told_from_asking_to_its_end_and_its_replay_too(world: World) -> None:
    request = world.request()
    request_id = request.header.request_id.hex()
    world.answers(request)
    world.refuses(request, Reason.REPLAYED)
    told = eventually(lambda: len(life(world, request_id)) == 5 and life(world, request_id))
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


def test_id_that_nobody_wrote_down_is_said_to_be_so(world: World) -> None:
    assert json.loads(asked(world, os.urandom(16).hex(), status=1))["life"] == []
    done = CliRunner().invoke(app, ["explain", "not-an-id", "--journal", str(world.broker.config.journal)])
    assert (done.exit_code, "32 hex digits" in done.stderr) == (2, True)


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
            path: SubsystemEntry(parse_spiffe_id(identity), False)
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
        (replace(provider, suspended_ms=NOW_MS), "suspended since"),
        (replace(provider, revoked_ms=NOW_MS), "was revoked at"),
    ):
        other = replace(state, subsystems={**state.subsystems, PROVIDER: entry})
        assert f"the provider {PROVIDER} was" in told(other)
        assert line in told(other)
    suspended = {**state.members, "gov/mps": replace(state.members["gov/mps"], suspended_ms=NOW_MS)}
    assert "gov/mps, the provider's member, was suspended since" in told(replace(state, members=suspended))
    alone = {CALLER: state.subsystems[CALLER]}
    assert told(replace(state, subsystems=alone)) == f"the provider {PROVIDER} was not registered"
    assert told(replace(state, grants={})) == f"there was no grant {asked.grant_id}"
    assert told(replace(state, methods={})) == f"no contract declared {asked.method[1:]}"
    assert "was revoked at" in told(granting(revoked_ms=NOW_MS))
    assert "holds from" in told(state, NOW_MS + 5000)
    assert "does not have" in told(granting(grant=replace(grant.grant, methods=())))
    assert "is for tax.audit" in told(granting(grant=replace(grant.grant, purposes=("tax.audit",))))
    assert f"is {PROVIDER}'s for {PROVIDER}" in told(granting(client=PROVIDER))
