"""Check 3: who asks whom for what stands in the signed header, and everything around it must say the same."""

import pytest

from bus.exchange.reasons import Reason
from tests.support.gate_world import World
from tests.support.gate_world_nation import AGENT, BROKER_2, CALLER, COLLEAGUE, OTHER, SAY, WATCH


def test_header_of_another_client_is_refused(world: World) -> None:
    world.refuses(world.request(), Reason.CLIENT_MISMATCH, sender=OTHER)


def test_colleague_who_is_no_agent_is_refused(world: World) -> None:
    world.refuses(world.request(), Reason.CLIENT_MISMATCH, sender=COLLEAGUE)


def test_client_does_not_speak_for_its_agent(world: World) -> None:
    request = world.request(client=world.spiffe(AGENT)).signed(world.signer(AGENT))
    world.refuses(request, Reason.CLIENT_MISMATCH)


def test_client_nobody_knows_is_refused(world: World) -> None:
    world.refuses(world.request(client="spiffe://bus.test.example/gov/moj/nobody"), Reason.CLIENT_MISMATCH)


def test_client_of_another_trust_domain_is_refused(world: World) -> None:
    world.refuses(world.request(client=f"spiffe://other.example/{CALLER}"), Reason.CLIENT_MISMATCH)


def test_agent_carries_what_its_client_signed(world: World) -> None:
    request = world.request()
    world.answers(request, sender=AGENT)
    assert world.intent(request).request.client == world.spiffe(CALLER)


def test_agent_of_a_suspended_client_is_refused(world: World) -> None:
    with world.policy() as document:
        entry(document, CALLER)["active"] = False
    world.refuses(world.request(), Reason.SUBSYSTEM_SUSPENDED, sender=AGENT)
    with world.policy() as document:
        entry(document, CALLER)["active"] = True
    world.answers(world.request(), sender=AGENT)


def test_request_for_another_broker_is_refused(world: World) -> None:
    world.refuses(world.request(broker=world.spiffe(BROKER_2)), Reason.WRONG_BROKER)


@pytest.mark.parametrize(
    "path",
    [
        WATCH,
        SAY + "/",
        SAY + "?a=b",
        SAY.lower(),
        "/" + SAY,
        SAY.replace("Say", "%53ay"),
        SAY.replace("/Say", "/./Say"),
        SAY.replace("/Say", "//Say"),
        "/other.v1.Service/../.." + SAY,
        SAY[:-1],
    ],
)
def test_path_that_is_not_the_signed_method_byte_for_byte_is_refused(world: World, path: str) -> None:
    request = world.request()
    world.refuses(request, Reason.METHOD_MISMATCH, headers=request.headers(path=path))


@pytest.mark.parametrize("path", [SAY + "\t", SAY + "#a", ""])
def test_path_that_http_does_not_know_never_reaches_the_gate(world: World, path: str) -> None:
    request, touched = world.request(), world.provider.calls
    with world.connect() as connection:
        assert connection.call([(k, path if k == ":path" else v) for k, v in request.headers()], request.body).code != 0
    assert world.provider.calls == touched


def test_route_comes_from_the_header_whatever_authority_says(world: World) -> None:
    request, touched = world.request(), world.provider.calls
    headers = [
        (key, "absent.mps.gov.bus.test.example" if key == ":authority" else value) for key, value in request.headers()
    ]
    assert world.connection().call(headers, request.body).code == 0
    assert world.provider.calls == touched + 1


def entry(document: dict[str, list[dict[str, object]]], path: str) -> dict[str, object]:
    (found,) = (one for one in document["subsystems"] if one["id"] == path)
    return found
