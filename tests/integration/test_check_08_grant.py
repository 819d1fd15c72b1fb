"""Check 8: exactly what a grant permits, now; and nothing in the answer tells what exists."""

import pytest

from bus.exchange.reasons import Reason
from tests.support.gate_world import World
from tests.support.gate_world_nation import ASLEEP, CALLER, OTHER, PUSH, TWIN, WATCH

DENIED = {
    "no such grant": {"grant_id": "grant-0"},
    "grant of another client": {"grant_id": "grant-colleague"},
    "grant for another provider": {"grant_id": "grant-absent"},
    "grant that has ended": {"grant_id": "grant-ended"},
    "grant that has not begun": {"grant_id": "grant-coming"},
    "another purpose": {"purpose": "tax.audit"},
    "purpose that only begins alike": {"purpose": "civil.birt"},
    "another method": {"grant_id": "grant-say", "method": WATCH},
    "method of the service nobody declared": {"method": "/test.v1.EchoService/Shout"},
    "unknown service": {"method": "/test.v1.Nothing/Say"},
    "streaming method without a grant": {"grant_id": "grant-say", "method": PUSH},
}


@pytest.mark.parametrize("case", DENIED)
def test_what_no_grant_permits_is_refused(world: World, case: str) -> None:
    world.refuses(world.request(**DENIED[case]), Reason.NO_GRANT)


def test_member_without_any_grant_is_refused(world: World) -> None:
    request = world.request(client=world.spiffe(OTHER)).signed(world.signer(OTHER))
    world.refuses(request, Reason.NO_GRANT, sender=OTHER)


@pytest.mark.parametrize("provider", [TWIN, "gov/mps/nobody", CALLER])
def test_provider_without_a_grant_answers_as_one_that_does_not_exist(world: World, provider: str) -> None:
    world.refuses(world.request(provider=world.spiffe(provider)), Reason.NO_GRANT)


def test_suspended_provider_is_not_called(world: World) -> None:
    world.refuses(world.request(provider=world.spiffe(ASLEEP), grant_id="grant-asleep"), Reason.NO_GRANT)


def test_unknown_service_cannot_be_told_from_an_ungranted_one(world: World) -> None:
    unknown = world.send(world.request(method="/test.v1.Nothing/Say"))
    ungranted = world.send(world.request(grant_id="grant-say", method=WATCH))
    assert [pair for pair in unknown.headers if pair[0] != "date"] == [
        pair for pair in ungranted.headers if pair[0] != "date"
    ]


def test_method_that_streams_from_the_client_is_refused_after_its_grant(world: World) -> None:
    world.refuses(world.request(method=PUSH), Reason.STREAM_NOT_SUPPORTED)


def test_removed_grant_ends_with_the_next_policy(world: World) -> None:
    world.answers(world.request())
    with world.policy() as document:
        kept = list(document["grants"])
        document["grants"] = [grant for grant in kept if grant["id"] != "grant-1"]
    world.refuses(world.request(), Reason.NO_GRANT)
    with world.policy() as document:
        document["grants"] = kept
    world.answers(world.request())
