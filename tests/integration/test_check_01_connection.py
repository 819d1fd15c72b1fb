"""Check 1: who is connected is judged on every call, against the policy in force, not at the handshake."""

import ssl
from datetime import UTC, datetime

import pytest

from bus.exchange.reasons import Reason
from tests.support.authority import Instance as OtherInstance
from tests.support.gate_world import World
from tests.support.gate_world_nation import CALLER, ENDED, OTHER, SUSPENDED
from tests.support.raw_client import RawConnection, client_context


def test_certificate_past_its_end_in_the_policy_is_refused(world: World) -> None:
    request = world.request(client=world.spiffe(ENDED), grant_id="grant-ended-certificate")
    world.refuses(request, Reason.CERTIFICATE_EXPIRED, sender=ENDED)


def test_suspended_subsystem_is_refused(world: World) -> None:
    request = world.request(client=world.spiffe(SUSPENDED), grant_id="grant-suspended")
    world.refuses(request.signed(world.signer(SUSPENDED)), Reason.SUBSYSTEM_SUSPENDED, sender=SUSPENDED)


def test_suspension_reaches_a_connection_that_stands(world: World) -> None:
    world.answers(world.request())
    before = world.connection()
    with world.policy() as document:
        caller(document)["active"] = False
    world.refuses(world.request(), Reason.SUBSYSTEM_SUSPENDED)
    with world.policy() as document:
        caller(document)["active"] = True
    world.answers(world.request())
    assert world.connection() is before


def test_revoked_certificate_is_refused_on_a_connection_that_stands(world: World) -> None:
    world.answers(world.request())
    with world.policy() as document:
        kept, caller(document)["certificates"] = caller(document)["certificates"], []
    world.refuses(world.request(), Reason.CERTIFICATE_NOT_LIVE)
    with world.policy() as document:
        caller(document)["certificates"] = kept
    world.answers(world.request())


def test_superseded_certificate_is_refused_and_the_new_one_is_live(world: World) -> None:
    old = world.connect(OTHER)
    world.instance.renew(now=datetime.now(UTC), paths=[OTHER])
    world.publish()
    request = world.request(client=world.spiffe(OTHER)).signed(world.signer(OTHER))
    answer = old.call(request.headers(), request.body)
    old.close()
    world.refuses(request, Reason.CERTIFICATE_NOT_LIVE, answer=answer)
    world.contexts.pop(OTHER)
    world.refuses(request, Reason.NO_GRANT, sender=OTHER)


def test_connection_is_judged_before_anything_it_says(world: World) -> None:
    request = world.request()
    world.refuses(request, Reason.SUBSYSTEM_SUSPENDED, sender=SUSPENDED, headers=request.headers(without=["te"])[:5])


def handshake(world: World, context: ssl.SSLContext) -> None:
    listen, name = world.broker.config.listen, world.broker.config.identity.dns_name
    with RawConnection(listen, context, name) as connection:
        stream = connection.open(world.request().headers(), end=True)
        assert connection.answer(stream).lost


def test_stranger_without_certificate_gets_no_answer_at_all(world: World) -> None:
    context = ssl.create_default_context(cafile=str(world.instance.home(CALLER) / "trust.pem"))
    context.set_alpn_protocols(["h2"])
    handshake(world, context)


def test_certificate_of_another_authority_gets_no_answer_at_all(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = OtherInstance(
        tmp_path_factory.mktemp("other"), trust_domain=world.instance.trust_domain, now=datetime.now(UTC)
    )
    other.credentials(CALLER)
    context = client_context(other.directory / CALLER.replace("/", "-"))
    context.load_verify_locations(str(world.instance.home(CALLER) / "trust.pem"))
    handshake(world, context)


def test_tls_1_2_is_refused(world: World) -> None:
    context = client_context(world.instance.home(CALLER))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        handshake(world, context)


def caller(document: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    (found,) = (entry for entry in document["subsystems"] if entry["id"] == CALLER)
    return found
