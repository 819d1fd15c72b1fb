"""`govbus explain`: a call's life as the journal has it, told for its request id."""

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from bus.cli.main import app
from bus.exchange.reasons import Reason
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_nation import CALLER, PROVIDER, PURPOSE


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
