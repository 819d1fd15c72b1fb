"""Enrolment as two people do it: the operator issues a token, the newcomer enrols with it, each with one command."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bus.cli.main import app
from bus.engines.postgres import Postgres
from bus.exchange import load_client_config
from tests.support.enrolment import NEWCOMER, Enrolling, running_enrolment
from tests.support.nation import make_small_nation
from tests.support.registered import found_registry


@pytest.fixture
def world(tmp_path: Path, postgres_server: Postgres) -> Iterator[Enrolling]:
    """An instance whose PostgreSQL is where `govbus up` keeps it: the session's own."""
    instance = make_small_nation(tmp_path / "a state")
    (instance.state / "postgres").symlink_to(postgres_server.home)
    registry, store = found_registry(instance, postgres_server.database("registry"))
    with store, running_enrolment(instance, registry) as world:
        yield world


def run(*arguments: object, stdin: str = "", status: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(app, [str(one) for one in arguments], input=stdin)
    assert done.exit_code == status, (done.exit_code, done.stdout, done.stderr)
    return done.stdout, done.stderr


def test_token_is_issued_and_a_subsystem_enrols_with_it_once(world: Enrolling, tmp_path: Path) -> None:
    state, address = world.instance.state, f"127.0.0.1:{world.server.port}"
    arguments = ("token", "issue", NEWCOMER, "--state", state, "--address", address, "--operator", "ops:alice")
    token, _ = run(*arguments, "--reason", "joins in November")
    told, _ = run("enrol", tmp_path / "first", "--json", stdin=token)
    assert json.loads(told)["subsystem"] == NEWCOMER
    assert load_client_config(json.loads(told)["config"]).identity.spiffe_id.endswith(NEWCOMER)
    _, refused = run("enrol", tmp_path / "second", stdin=token, status=2)
    assert refused.startswith("govbus: TOKEN_USED: ")
    _, refused = run("enrol", tmp_path / "first", stdin=token, status=2)
    assert "holds credentials already" in refused
    issued = [one for one in world.registry.history() if one.change.kind == "token.issued"]
    assert [(one.operator, one.reason) for one in issued] == [("ops:alice", "joins in November")]
    for wrong, why in (
        (("token", "issue", "gov/none/none", "--state", state, "--address", address), "no subsystem"),
        (("token", "issue", NEWCOMER, "--state", state), "--address"),
        (("token", "issue", NEWCOMER, "--state", tmp_path), "no instance"),
    ):
        assert why in run(*wrong, "--reason", "a test", status=2)[1]
    assert "no enrolment token" in run("enrol", tmp_path / "third", stdin="nonsense\n", status=2)[1]
