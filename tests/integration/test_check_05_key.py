"""Check 5: the signing key is registered, of the client that the header names, and valid at this moment."""

from bus.exchange.reasons import Reason
from pki.keys import generate_private_key
from pki.signer import KeySigner
from tests.support.gate_world import World
from tests.support.gate_world_nation import AGENT, CALLER, OTHER, extra_key


def test_key_nobody_registered_is_refused(world: World) -> None:
    world.refuses(world.request().signed(KeySigner(generate_private_key())), Reason.KEY_UNKNOWN)


def test_tls_key_is_no_signing_key(world: World) -> None:
    from pki.keys import load_private_key

    tls = load_private_key((world.instance.home(CALLER) / "tls" / "key.pem").read_bytes())
    world.refuses(world.request().signed(KeySigner(tls)), Reason.KEY_UNKNOWN)


def test_key_of_another_member_is_refused(world: World) -> None:
    world.refuses(world.request().signed(world.signer(OTHER)), Reason.KEY_NOT_OF_CLIENT)


def test_agents_key_does_not_sign_for_its_client(world: World) -> None:
    world.refuses(world.request().signed(world.signer(AGENT)), Reason.KEY_NOT_OF_CLIENT, sender=AGENT)


def test_key_past_its_end_is_refused(world: World) -> None:
    world.refuses(world.request().signed(extra_key(world.instance, "ended")), Reason.KEY_NOT_VALID)


def test_key_before_its_beginning_is_refused(world: World) -> None:
    world.refuses(world.request().signed(extra_key(world.instance, "coming")), Reason.KEY_NOT_VALID)


def test_key_taken_out_of_the_policy_is_refused_though_its_signature_is_remembered(world: World) -> None:
    request = world.request()
    world.answers(request)
    with world.policy() as document:
        (caller,) = (entry for entry in document["subsystems"] if entry["id"] == CALLER)
        kept = list(caller["keys"])
        caller["keys"] = kept[1:]
    world.refuses(request, Reason.KEY_UNKNOWN)
    with world.policy() as document:
        (caller,) = (entry for entry in document["subsystems"] if entry["id"] == CALLER)
        caller["keys"] = kept
    world.refuses(request, Reason.REPLAYED)
    world.answers(world.request())
