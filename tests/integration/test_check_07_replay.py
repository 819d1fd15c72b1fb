"""Check 7: an id is taken once, by whatever connection it comes and whatever became of it."""

import threading
from collections import Counter

from bus.exchange.reasons import Reason
from tests.support.gate_world import World
from tests.support.gate_world_nation import AGENT, COLLEAGUE
from tests.support.raw_client import Answer
from tests.support.raw_client_forge import Request


def test_request_sent_again_is_refused(world: World) -> None:
    request = world.request()
    world.answers(request)
    for _ in range(3):
        world.refuses(request, Reason.REPLAYED)


def test_request_sent_again_over_another_connection_is_refused(world: World) -> None:
    request = world.request()
    world.answers(request)
    with world.connect() as other:
        world.refuses(request, Reason.REPLAYED, answer=other.call(request.headers(), request.body))
    world.refuses(request, Reason.REPLAYED, sender=AGENT)


def test_id_under_a_fresh_header_is_refused(world: World) -> None:
    request = world.request()
    world.answers(request)
    world.refuses(world.request(request_id=request.id, case_id="HS-2026-0002"), Reason.REPLAYED)


def test_id_is_taken_by_a_refused_request_too(world: World) -> None:
    request = world.request(purpose="tax.audit")
    world.refuses(request, Reason.NO_GRANT)
    world.refuses(world.request(request_id=request.id), Reason.REPLAYED)


def test_id_belongs_to_its_client(world: World) -> None:
    request = world.request()
    world.answers(request)
    other = world.request(request_id=request.id, client=world.spiffe(COLLEAGUE), grant_id="grant-colleague")
    world.connection(COLLEAGUE)
    answer = world.send(other.signed(world.signer(COLLEAGUE)), sender=COLLEAGUE)
    assert answer.code == 0


def test_id_is_not_taken_by_whoever_cannot_sign(world: World) -> None:
    request = world.request()
    world.refuses(request.but(signature=world.request().signature), Reason.SIGNATURE_INVALID)
    world.answers(request)


def test_of_many_copies_at_once_one_is_admitted(world: World) -> None:
    request, touched = world.request(), world.provider.calls
    answers: list[Answer] = []
    start = threading.Barrier(8)

    def send(copy: Request) -> None:
        with world.connect() as connection:
            start.wait(10)
            answers.append(connection.call(copy.headers(), copy.body))

    threads = [threading.Thread(target=send, args=(request,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = Counter(answer.refusal and answer.refusal[0] for answer in answers)
    assert found == {None: 1, Reason.REPLAYED: 7}
    assert world.provider.calls == touched + 1
    assert world.intent(request)
