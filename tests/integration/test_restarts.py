"""kill -9: what was admitted stays admitted, once; what was promised is kept; an older policy stays refused.

Kills under load are in test_calls.py; here each promise is looked at alone.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.engines.broker import Broker
from bus.engines.supervisor import EngineError
from bus.exchange.reasons import Reason
from native.codec import decode_request_header
from native.journal_records import CleanStop
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_journal import entries_of, verify_journal
from tests.support.gate_world_nation import BROKER, CALLER
from tests.support.gate_world_receipts import verify_receipt
from tests.support.raw_provider_answers import decoded, hang, honest, waiting

UNKNOWN = 4


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("killed") / "a state") as world:
        yield world
        world.settle()


def test_request_sent_again_after_a_kill_is_refused(killed: World) -> None:
    requests = [killed.request() for _ in range(20)]
    answers = [killed.answers(request) for request in requests]
    killed.kill()
    for request, answer in zip(requests, answers, strict=True):
        killed.refuses(request, Reason.REPLAYED)
        verify_receipt(killed, request, answer)
    killed.answers(killed.request())


def test_call_cut_by_a_kill_has_the_outcome_unknown_and_its_id_stays_taken(killed: World) -> None:
    killed.provider.behaviour = hang
    requests, connection = [killed.request() for _ in range(5)], killed.connect()
    touched = killed.provider.calls
    for request in requests:
        connection.send(connection.open(request.headers()), request.body, end=True)
    eventually(lambda: killed.provider.calls == touched + 5)
    killed.kill()
    connection.close()
    killed.provider.behaviour = honest
    for request in requests:
        receipt = killed.outcome(request).receipt
        assert (receipt.outcome, receipt.reason) == (UNKNOWN, 0)
        killed.refuses(request, Reason.REPLAYED)
    killed.kill()
    for request in requests:
        assert killed.outcome(request).receipt.outcome == UNKNOWN, "written once, not at every start"


def test_whatever_is_sent_again_after_a_kill_under_load_is_admitted_once(tmp_path: Path) -> None:
    """All of it is sent again, answered or not: it was durable and is refused, or it never was and is admitted."""
    with running_world(tmp_path / "a state") as world:
        kill_and_send_again(world)
        world.settle()


def kill_and_send_again(world: World) -> None:
    source, sent, answered = random.Random(20261121), [], {}
    for _ in range(4):
        requests, connections = [world.request() for _ in range(60)], [world.connect(), world.connect()]
        streams = []
        for at, request in enumerate(requests):
            connection = connections[at % 2]
            streams.append((request, connection, connection.open(request.headers())))
            connection.send(streams[-1][2], request.body, end=True)
        time.sleep(source.uniform(0, 0.06))
        world.kill()
        for request, connection, stream in streams:
            answer = connection.answer(stream)
            if answer.code == 0:
                answered[request.id] = answer.binary("govbus-receipt-bin")
        for connection in connections:
            connection.close()
        for request in requests:
            again = world.send(request)
            assert again.code == 0 or again.refusal == (Reason.REPLAYED, {})
            assert again.code != 0 or request.id not in answered
        sent += requests
    ids = Counter(
        decode_request_header(decoded(seen.value("govbus-request-bin"))).request_id for seen in world.provider.seen
    )
    assert answered, "the kills came before any answer; nothing was tried"
    for request in sent:
        assert ids[request.id] <= 1, "the provider was called twice"
        receipt = world.outcome(request).receipt_bytes
        assert answered.get(request.id, receipt) == receipt


def test_each_process_has_a_gate_key_of_its_own(killed: World) -> None:
    first = killed.answers(killed.request())
    killed.kill()
    second = killed.answers(killed.request())
    assert first.value("govbus-gatekey-bin") != second.value("govbus-gatekey-bin")


def test_ordered_stop_lets_running_calls_end_and_closes_the_journal(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_world(tmp_path_factory.mktemp("stopped") / "a state") as world:
        begun, go = threading.Event(), threading.Event()
        world.provider.behaviour = waiting(begun, go)
        request, connection = world.request(), world.connect()
        stream = connection.open(request.headers())
        connection.send(stream, request.body, end=True)
        assert begun.wait(5)
        stopping = threading.Thread(target=world.broker.stop)
        stopping.start()
        time.sleep(0.3)
        go.set()
        answer = connection.answer(stream)
        stopping.join()
        connection.close()
        assert answer.code == 0
        verify_receipt(world, request, answer)
        verify_journal(world.broker.config.journal)
        assert any(isinstance(entry, CleanStop) for entry in entries_of(world.broker.config.journal))


def test_older_policy_stays_refused_after_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_world(tmp_path_factory.mktemp("rolled") / "a state") as world:
        path = world.broker.config.snapshot
        older = path.read_bytes()
        world.publish()
        world.answers(world.request())
        touched = world.provider.calls
        world.broker.stop()
        newer = path.read_bytes()
        path.write_bytes(older)
        home = world.instance.broker_home(BROKER)
        refused = Broker(home)
        with pytest.raises(EngineError, match="refused the policy"):
            refused.start(timeout=5)
        assert world.provider.calls == touched
        path.write_bytes(newer)
        with Broker(home) as again:
            world.broker = again
            world.connections.pop(CALLER).close()
            world.answers(world.request())
            world.settle()
