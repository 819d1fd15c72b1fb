"""Each peer has a budget of signature verifications: refused ones count tenfold, remembered ones nothing."""

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from bus.engines.broker import Broker
from bus.exchange.reasons import Reason
from native.codec import decode_signature, encode_signature
from tests.support.gate_world import World, running_world
from tests.support.gate_world_nation import AGENT, CALLER
from tests.support.raw_client_forge import Request, sign_together

BUDGET = 1
"""A second, and twice as many at once: a forged signature leaves a debt of eight seconds or more."""
COST = 10


class FrugalBroker(Broker):
    """Its gate verifies less."""

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"GOVBUS_VERIFICATIONS": str(BUDGET)}


@pytest.fixture(scope="module")
def frugal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("frugal") / "a state", make_broker=FrugalBroker) as world:
        yield world
        world.settle()


def forged(request: Request) -> Request:
    """The same with a signature that does not verify."""
    return request.but(signature=encode_signature(replace(decode_signature(request.signature), value=os.urandom(64))))


def batch(world: World, size: int) -> list[Request]:
    return sign_together(world.signer(CALLER), [Request.unsigned(world.base) for _ in range(size)])


def test_forged_signatures_use_the_budget_of_their_peer_up_and_nobody_elses(frugal: World) -> None:
    right, (known, *others) = frugal.request(), batch(frugal, 8)
    frugal.answers(known)
    recorded = len(frugal.journal.poll().refusals)
    reasons = [frugal.send(forged(frugal.request())).refusal for _ in range(8)]
    assert reasons[0] == (Reason.SIGNATURE_INVALID, {})
    assert reasons[-1] == (Reason.VERIFICATION_BUDGET, {})
    answer = frugal.refuses(right, Reason.VERIFICATION_BUDGET)
    found = RetryInfo()
    assert Status.FromString(answer.binary("grpc-status-details-bin")).details[1].Unpack(found)
    assert 0 < found.retry_delay.ToSeconds() <= COST
    for one in others:  # what is remembered costs nothing
        frugal.answers(one)
    # The agent is another peer, though it carries for the same client and signs with its key.
    frugal.answers(frugal.request(), sender=AGENT)
    assert len(frugal.journal.poll().refusals) == recorded, "who asks is not proven, so nothing of it is recorded"
